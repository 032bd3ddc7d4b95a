//! A task as a training objective.

use super::{Assignment, Examples, Order, Score, Scorer, Stream, Task, batch};
use crate::train::{Evaluation, Settings, TrainingObjective};
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::collective::Collective;
use hh_core::train::{LanguageWorkspace, Losses, Trainer};

/// Trains on the examples of a task, and validates on held-out ones.
pub struct TaskObjective<'a, B: Backward> {
    trainer: Trainer<B>,
    assignment: &'a Assignment,
    settings: &'a Settings,
    order: Order,
    scorer: Scorer<B>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl<'a, B: Backward> TaskObjective<'a, B> {
    /// The objective for a trainer whose workspace has the batch size and context of `settings`.
    ///
    /// # Errors
    /// [`Error::Device`](hh_core::error::Error::Device) if the device is out of memory.
    pub fn new(mut trainer: Trainer<B>, assignment: &'a Assignment, settings: &'a Settings) -> Result<Self> {
        let c = trainer.config().clone();
        let scorer = Scorer::new(&mut trainer.backend, &c, settings.batch, settings.context)?;
        let ids = vec![0; settings.batch * settings.context];
        let order = Order::new(settings.seed, assignment.examples);
        Ok(Self { trainer, assignment, settings, order, scorer, tokens: ids.clone(), targets: ids })
    }

    fn task(&self) -> &'a dyn Task {
        self.assignment.kind.task()
    }
}

impl<B: Backward> TrainingObjective<B> for TaskObjective<'_, B> {
    type Workspace = LanguageWorkspace<B>;

    fn trainer(&mut self) -> &mut Trainer<B> {
        &mut self.trainer
    }

    fn accumulate(&mut self, micro: usize, measured: bool) -> Result<Option<Losses>> {
        let (t, task) = (self.settings, self.task());
        let taken = (self.trainer.step() * t.accumulate as u64 + micro as u64) * t.batch as u64;
        let numbers = (taken..taken + t.batch as u64).map(|taken| self.order.example(taken));
        batch(task, t.seed, Stream::Training, numbers, &mut self.tokens, &mut self.targets);
        self.trainer.accumulate(&self.tokens, &self.targets)?;
        Ok(if measured { Some(self.trainer.losses()?) } else { None })
    }

    fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>> {
        Ok(self.trainer.gates()?)
    }

    /// On each rank for itself.
    fn validate(&mut self, _: &mut impl Collective<B>, tokens: u64, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>> {
        let (task, step, averaged) = (self.task(), self.trainer.step(), self.trainer.hyper().ema > 0.0);
        let count = (tokens / task.length() as u64).clamp(1, self.assignment.held_out as u64) as usize;
        let c = self.trainer.config().clone();
        let (b, train_state) = self.trainer.train_state_mut();
        let examples = Examples { task, seed: self.settings.seed, stream: Stream::Validation, count };
        let mut score = |p| self.scorer.score(b, &c, p, examples, stop);
        let Some(plain) = score(&train_state.weights)? else { return Ok(None) };
        let average = if averaged { score(&train_state.ema)? } else { None };
        if averaged && average.is_none() {
            return Ok(None);
        }
        let better = average.filter(|average| average.nats < plain.nats).unwrap_or(plain);
        Ok(Some(Evaluation {
            step,
            validation: plain.nll(),
            validation_ema: average.as_ref().map(Score::nll),
            accuracy: Some(better.accuracy()),
            scored: plain.asked,
            whole: false,
        }))
    }

    fn is_solved(&self, evaluation: &Evaluation) -> bool {
        evaluation.accuracy.is_some_and(|accuracy| accuracy >= self.assignment.enough)
    }
}
