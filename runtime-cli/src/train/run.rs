//! The loop: steps, measurements, validations, checkpoints, and a way out between any two steps.

use super::keep::{self, Best, Provenance, Standing};
use super::metrics::{Evaluation, Gates, Metrics, Record, Step};
use super::progress::Progress;
use super::{Recipe, RunFolder, draw, validate};
use crate::data::Dataset;
use anyhow::{Context, Result, bail};
use hh_core::backend::Backward;
use hh_core::model::Model;
use hh_core::train::{Losses, Trainer};
use std::time::{Duration, Instant};

/// All that a run needs but the machine.
pub struct Job<'a> {
    /// Model, hyper-parameters, text.
    pub recipe: &'a Recipe,
    /// The text.
    pub data: &'a Dataset,
    /// What checkpoints say of it.
    pub from: &'a Provenance,
    /// Where everything is written.
    pub folder: &'a RunFolder,
    /// Asked before each step and each batch of the last validation, with the number of steps taken, whether the run should
    /// stop there.
    pub stop: &'a (dyn Fn(u64) -> bool + Sync),
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Steps taken.
    pub step: u64,
    /// The best validation.
    pub best: Option<Best>,
    /// Over the whole held-out text; absent where the run was stopped before it was done.
    pub whole: Option<Evaluation>,
    /// Tokens a second of this call's steps, validations and checkpoints left out.
    pub tokens_per_second: f64,
}

/// Trains from the start, or from where `standing` was left, to the last step or until it is told to stop.
///
/// # Errors
/// One sentence for a machine without room, a disk without room, a text that cannot be read, and a loss that is no number.
/// The checkpoints that were there stay then.
pub fn run<B: Backward>(backend: B, job: &Job<'_>, standing: Option<&Standing>, progress: Progress) -> Result<Outcome> {
    let mut run = Run::begin(backend, job, standing, progress)?;
    let steps = job.recipe.train.steps;
    while run.trainer.step() < steps && !(job.stop)(run.trainer.step()) {
        run.step()?;
    }
    let whole = if run.trainer.step() >= steps { run.conclude()? } else { None };
    if whole.is_none() && run.saved != Some(run.trainer.step()) {
        run.save()?;
    }
    run.progress.finish();
    let trained = run.trained as f64 / run.time.as_secs_f64().max(1e-9);
    Ok(Outcome { step: run.trainer.step(), best: run.best, whole, tokens_per_second: trained })
}

struct Run<'a, B: Backward> {
    job: &'a Job<'a>,
    trainer: Trainer<B>,
    metrics: Metrics,
    progress: Progress,
    best: Option<Best>,
    /// The step of the newest checkpoint, if there is one.
    saved: Option<u64>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// Tokens and time of this call's steps.
    trained: u64,
    time: Duration,
    /// Both at the last logged step.
    logged: (u64, Duration),
}

impl<'a, B: Backward> Run<'a, B> {
    fn begin(mut backend: B, job: &'a Job<'a>, standing: Option<&Standing>, progress: Progress) -> Result<Self> {
        let Recipe { model, train, .. } = job.recipe;
        let trainer = match standing {
            Some(standing) => standing.trainer(backend, job.recipe)?,
            None => {
                let weights = Model::init(&mut backend, model.clone(), train.seed)?.params;
                Trainer::new(backend, model.clone(), train.hyper(), weights, train.batch, train.context)?
            }
        };
        let metrics = Metrics::open(&job.folder.metrics(), trainer.step())?;
        let ids = vec![0; train.batch * train.context];
        Ok(Self {
            job,
            trainer,
            metrics,
            progress,
            best: standing.and_then(|s| s.best),
            saved: standing.map(|s| s.step),
            tokens: ids.clone(),
            targets: ids,
            trained: 0,
            time: Duration::ZERO,
            logged: (0, Duration::ZERO),
        })
    }

    fn step(&mut self) -> Result<()> {
        let t = &self.job.recipe.train;
        let step = self.trainer.step() + 1;
        let due = |every: u64| step.is_multiple_of(every) || step == t.steps;
        // Asking for a loss waits for the device: only where somebody wants to know, or a checkpoint hangs on it.
        let measured = due(t.log_every) || due(t.eval_every) || due(t.save_every);
        let began = Instant::now();
        let losses = self.gradients(measured)?;
        self.trainer.apply()?;
        self.time += began.elapsed();
        self.trained += t.tokens_per_step();
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
        Ok(())
    }

    /// Adds up the gradients of a step; its mean losses, if asked for.
    fn gradients(&mut self, measured: bool) -> Result<Option<Losses>> {
        let t = &self.job.recipe.train;
        let mut sum = Losses::default();
        for micro in 0..t.accumulate {
            let step = self.trainer.step();
            self.job.data.batch(step, micro, t.batch, t.context, t.seed, &mut self.tokens, &mut self.targets)?;
            self.trainer.accumulate(&self.tokens, &self.targets)?;
            if measured {
                sum.add(&self.trainer.losses()?);
            }
        }
        Ok(measured.then_some(sum))
    }

    fn measure(&mut self, losses: &Losses, log: bool) -> Result<()> {
        let t = &self.job.recipe.train;
        let (step, grad_norm) = (self.trainer.step(), self.trainer.grad_norm()?);
        let total = losses.nll + losses.z + losses.smooth + losses.flow;
        if !total.is_finite() || !grad_norm.is_finite() {
            self.progress.finish();
            bail!("{}", self.diverged(&format!("the loss is {} and the norm of its gradient {grad_norm}", losses.nll)));
        }
        if !log {
            return Ok(());
        }
        let (tokens, time) = (self.trained - self.logged.0, self.time - self.logged.1);
        self.logged = (self.trained, self.time);
        let record = Step {
            step,
            tokens: step * t.tokens_per_step(),
            nll: losses.nll,
            z: losses.z,
            smooth: losses.smooth,
            flow: (t.flow_weight > 0.0).then_some(losses.flow),
            lr: t.hyper().schedule.lr(step - 1),
            grad_norm,
            gates: mean(&self.trainer.gates()?),
            tokens_per_second: (tokens as f64 / time.as_secs_f64().max(1e-9)).round(),
        };
        self.progress.step(&record);
        self.metrics.push(Record::Step(record))
    }

    fn diverged(&self, what: &str) -> String {
        let kept = match self.saved {
            None => "nothing was saved yet".to_owned(),
            Some(step) => format!("the checkpoints of step {step} in {} are whole", self.job.folder.path().display()),
        };
        format!("training diverged at step {}: {what}; try a lower --lr, a longer --warmup, or --clip 1; {kept}", self.trainer.step())
    }

    fn evaluate(&mut self) -> Result<()> {
        let t = &self.job.recipe.train;
        // It belongs to the step: the best weights hang on it, and a run that goes on does not come back to it.
        let never = || false;
        let evaluation = validate(&mut self.trainer, self.job.data, t.batch, t.context, t.eval_tokens, &never)?;
        let evaluation = evaluation.expect("nothing stops it");
        let (nll, average) = evaluation.better();
        if !nll.is_finite() {
            self.progress.finish();
            bail!("{}", self.diverged(&format!("the validation loss is {nll}")));
        }
        let better = self.best.is_none_or(|best| nll < best.nll);
        self.metrics.push(Record::Evaluation(evaluation))?;
        self.progress.evaluation(&evaluation, better);
        if better {
            let path = self.job.folder.best();
            keep::save_weights(&path, &mut self.trainer, average, Some(nll), self.job.recipe, self.job.from)
                .with_context(|| self.advice())?;
            self.best = Some(Best { step: evaluation.step, nll, average });
        }
        draw(&self.job.folder.curve(), self.metrics.records())
    }

    /// `resume.safetensors` comes last: it alone is what going on needs, and it says that the others are of its step or later.
    fn save(&mut self) -> Result<()> {
        let Job { recipe, from, folder, .. } = self.job;
        keep::save_weights(&folder.last(), &mut self.trainer, false, None, recipe, from).with_context(|| self.advice())?;
        keep::save_standing(&folder.resume(), &mut self.trainer, self.best, recipe, from).with_context(|| self.advice())?;
        self.saved = Some(self.trainer.step());
        Ok(())
    }

    fn advice(&self) -> String {
        match self.saved {
            None => format!("step {} could not be saved", self.trainer.step()),
            Some(step) => {
                format!("step {} could not be saved, that of step {step} is whole and --resume goes on from it", self.trainer.step())
            }
        }
    }

    /// The whole held-out text, once; `None` where the run is told to stop. A run that goes on from there has only this to do.
    fn conclude(&mut self) -> Result<Option<Evaluation>> {
        let Job { recipe, data, folder, stop, .. } = self.job;
        let (t, step) = (&recipe.train, self.trainer.step());
        let Some(part) = validate(&mut self.trainer, data, t.batch, t.context, u64::MAX, &|| stop(step))? else { return Ok(None) };
        let whole = Evaluation { whole: true, ..part };
        self.metrics.push(Record::Evaluation(whole))?;
        draw(&folder.curve(), self.metrics.records())?;
        Ok(Some(whole))
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
