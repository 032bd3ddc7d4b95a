//! One step: gradients, update, metrics.

use super::Run;
use crate::ranks::gather_losses;
use crate::train::TrainingObjective;
use crate::train::metrics::{Gates, Record, Step};
use crate::train::objective::Kind;
use anyhow::{Result, bail};
use hh_core::backend::Backward;
use hh_core::collective::Collective;
use hh_core::train::Losses;
use std::time::Instant;

impl<B: Backward, L: TrainingObjective<B>, C: Collective<B>> Run<'_, B, L, C> {
    /// One step, and what is due after it.
    pub(super) fn step(&mut self) -> Result<()> {
        let t = &self.job.recipe.train;
        let step = self.at() + 1;
        let due = |every: u64| step.is_multiple_of(every) || step == t.steps;
        // Reading a loss synchronises with the device, so only where it is logged or a validation or checkpoint follows.
        let measured = due(t.log_every) || due(t.eval_every) || due(t.save_every);
        let (began, sent) = (Instant::now(), self.ranks.sent());
        let losses = self.gradients(measured)?;
        let trainer = self.objective.trainer();
        if t.local_steps == 0 {
            trainer.all_reduce(self.ranks)?;
        }
        self.is_between = false;
        trainer.apply()?;
        if trainer.is_outer(step) {
            trainer.outer_step(self.ranks)?;
        }
        self.time += began.elapsed();
        self.sent += self.ranks.sent() - sent;
        self.trained += self.job.recipe.seen_per_step();
        self.steps += 1;
        self.progress.tick(step);
        if let Some(losses) = losses {
            self.measure(&losses, due(t.log_every))?;
        }
        if due(t.eval_every) {
            self.evaluate()?;
        }
        if due(t.eval_every) || due(t.save_every) {
            self.save()?;
        }
        self.is_between = true;
        Ok(())
    }

    /// Accumulates the gradients of this rank's micro-batches; returns the mean losses of the whole step if `measured`.
    fn gradients(&mut self, measured: bool) -> Result<Option<Losses>> {
        let share = self.objective.trainer().hyper().share();
        // Ranks have one micro-batch more than others, or not.
        let most = self.job.recipe.train.accumulate.div_ceil(self.ranks.size());
        let mut own = vec![Losses::default(); if measured { most } else { 0 }];
        for (place, micro) in share.enumerate() {
            if let Some(losses) = self.objective.accumulate(micro, measured)? {
                own[place] = losses;
            }
        }
        if !measured {
            return Ok(None);
        }
        let mut sum = Losses::default();
        gather_losses(self.ranks, &own)?.iter().flatten().for_each(|losses| sum.add(losses));
        Ok(Some(sum))
    }

    /// The mean gates of the step's last micro-batch, which the last rank has.
    fn gates(&mut self) -> Result<Gates> {
        let Gates { ssm, hopfield, attention } = mean(&self.objective.gates()?);
        let mut bytes: Vec<u8> = [ssm, hopfield, attention].iter().flat_map(|gate| gate.unwrap_or(f32::NAN).to_le_bytes()).collect();
        let last = self.ranks.size() - 1;
        self.ranks.broadcast(last, &mut bytes)?;
        let gate = |i: usize| Some(f32::from_le_bytes(bytes.as_chunks::<4>().0[i])).filter(|gate| !gate.is_nan());
        Ok(Gates { ssm: gate(0), hopfield: gate(1), attention: gate(2) })
    }

    fn measure(&mut self, losses: &Losses, log: bool) -> Result<()> {
        let t = &self.job.recipe.train;
        let (step, grad_norm) = (self.at(), self.objective.trainer().grad_norm()?);
        let total = losses.nll + losses.z + losses.smooth + losses.flow + losses.cosine + losses.pairs;
        if !total.is_finite() || !grad_norm.is_finite() {
            let what = format!("the loss is {} and the gradient norm {grad_norm}", losses.nll + losses.cosine);
            bail!("{}", self.kept().diverged(&what));
        }
        if !log {
            return Ok(());
        }
        let kind = self.job.recipe.objective.as_ref().map_or(Kind::Language, |o| o.kind);
        let (steps, tokens, time, sent) = self.logged;
        self.logged = (self.steps, self.trained, self.time, self.sent);
        let (steps, tokens, time, sent) = (self.steps - steps, self.trained - tokens, self.time - time, self.sent - sent);
        let record = Step {
            step,
            tokens: step * self.job.recipe.seen_per_step(),
            nll: (kind != Kind::Distill).then_some(losses.nll),
            z: (kind == Kind::Language).then_some(losses.z),
            smooth: (kind == Kind::Language).then_some(losses.smooth),
            flow: (t.flow_weight > 0.0).then_some(losses.flow),
            cosine: (kind == Kind::Distill).then_some(losses.cosine),
            pairs: (kind == Kind::Distill).then_some(losses.pairs),
            lr: t.hyper().schedule.lr(step - 1),
            grad_norm,
            gates: self.gates()?,
            tokens_per_second: (tokens as f64 / time.as_secs_f64().max(1e-9)).round(),
            bytes_sent: (self.ranks.size() > 1).then_some(sent / steps.max(1)),
        };
        self.progress.step(&record);
        self.record(Record::Step(record))
    }
}

/// The mean of each path over the layers that have it.
fn mean(layers: &[[Option<f32>; 3]]) -> Gates {
    let path = |i: usize| {
        let on: Vec<f32> = layers.iter().filter_map(|gates| gates[i]).collect();
        (!on.is_empty()).then(|| on.iter().sum::<f32>() / on.len() as f32)
    };
    Gates { ssm: path(0), hopfield: path(1), attention: path(2) }
}
