//! The interface between the training loop and an objective: batches, losses and validation.

use super::metrics::Evaluation;
use super::pairs::{Batch, Pairs};
use super::settings::Settings;
use super::validate::validate;
use crate::data::{Dataset, MicroBatch, RowOrder};
use crate::ranks::shared_out;
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::collective::Collective;
use hh_core::train::{EmbeddingWorkspace, LanguageWorkspace, Losses, Trainer, Workspace, embedding::Texts};

/// An objective with its trainer and its data.
pub trait TrainingObjective<B: Backward> {
    /// The workspace of the trainer.
    type Workspace: Workspace<B>;

    /// The trainer.
    fn trainer(&mut self) -> &mut Trainer<B, Self::Workspace>;

    /// Adds the gradients of one micro-batch of the current step; returns its losses if `measured`.
    ///
    /// # Errors
    /// Data that cannot be read, or a device error.
    fn accumulate(&mut self, micro: usize, measured: bool) -> Result<Option<Losses>>;

    /// Mean gates of the last micro-batch.
    ///
    /// # Errors
    /// A device error.
    fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>>;

    /// The loss over about `tokens` held-out tokens, the same on all ranks. `None` if `stop`, called before each batch, returns
    /// true on a rank.
    ///
    /// # Errors
    /// Data that cannot be read, a device error, or a rank that cannot be reached.
    fn validate(&mut self, ranks: &mut impl Collective<B>, tokens: u64, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>>;

    /// Whether the objective is solved, given the result of a validation.
    fn is_solved(&self, evaluation: &Evaluation) -> bool;
}

/// Next-token prediction.
pub(super) struct NextToken<'a, B: Backward> {
    trainer: Trainer<B>,
    data: &'a Dataset,
    settings: &'a Settings,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl<'a, B: Backward> NextToken<'a, B> {
    pub(super) fn new(trainer: Trainer<B>, data: &'a Dataset, settings: &'a Settings) -> Self {
        let ids = vec![0; settings.batch * settings.context];
        Self { trainer, data, settings, tokens: ids.clone(), targets: ids }
    }
}

impl<B: Backward> TrainingObjective<B> for NextToken<'_, B> {
    type Workspace = LanguageWorkspace<B>;

    fn trainer(&mut self) -> &mut Trainer<B> {
        &mut self.trainer
    }

    fn accumulate(&mut self, micro: usize, measured: bool) -> Result<Option<Losses>> {
        let t = self.settings;
        let step = self.trainer.step();
        let before = step * t.accumulate as u64 + micro as u64;
        let order = if t.episodic_items > 0 { RowOrder::RunOn } else { RowOrder::Windows(t.windows) };
        let which = MicroBatch { seed: t.seed, step, micro, before, batch: t.batch, time: t.context, order };
        self.data.batch(which, &mut self.tokens, &mut self.targets)?;
        self.trainer.accumulate(&self.tokens, &self.targets)?;
        Ok(if measured { Some(self.trainer.losses()?) } else { None })
    }

    fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>> {
        Ok(self.trainer.gates()?)
    }

    fn validate(&mut self, ranks: &mut impl Collective<B>, tokens: u64, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>> {
        validate(ranks, &mut self.trainer, self.data, self.settings.batch, self.settings.context, tokens, stop)
    }

    fn is_solved(&self, _: &Evaluation) -> bool {
        false
    }
}

/// Embeddings.
pub(super) struct EmbeddingObjective<'a, B: Backward> {
    trainer: Trainer<B, EmbeddingWorkspace<B>>,
    data: &'a Pairs,
    settings: &'a Settings,
}

impl<'a, B: Backward> EmbeddingObjective<'a, B> {
    pub(super) fn new(trainer: Trainer<B, EmbeddingWorkspace<B>>, data: &'a Pairs, settings: &'a Settings) -> Self {
        Self { trainer, data, settings }
    }
}

impl Batch {
    fn borrowed(&self) -> Texts<'_> {
        Texts { texts: &self.texts, candidates: &self.candidates, teacher: &self.teacher }
    }
}

impl<B: Backward> TrainingObjective<B> for EmbeddingObjective<'_, B> {
    type Workspace = EmbeddingWorkspace<B>;

    fn trainer(&mut self) -> &mut Trainer<B, EmbeddingWorkspace<B>> {
        &mut self.trainer
    }

    fn accumulate(&mut self, micro: usize, measured: bool) -> Result<Option<Losses>> {
        let t = self.settings;
        let batch = self.data.batch(self.trainer.step() * t.accumulate as u64 + micro as u64, t.batch, t.seed);
        self.trainer.accumulate(batch.borrowed())?;
        Ok(if measured { Some(self.trainer.losses()?) } else { None })
    }

    fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>> {
        Ok(self.trainer.gates()?)
    }

    fn validate(&mut self, ranks: &mut impl Collective<B>, tokens: u64, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>> {
        let Self { trainer, data, settings } = self;
        let averaged = trainer.hyper().ema > 0.0;
        let batches = data.validation_batches(settings.batch, tokens);
        let found = shared_out(ranks, batches, stop, |index| {
            let batch = data.validation(index as usize, settings.batch);
            let plain = trainer.evaluate(false, batch.borrowed())?;
            Ok([plain, if averaged { trainer.evaluate(true, batch.borrowed())? } else { Losses::default() }])
        })?;
        let Some([plain, average]) = found else { return Ok(None) };
        // One of the two is the loss of the objective, the other is 0.
        let loss = |losses: &Losses| losses.nll + losses.cosine;
        Ok(Some(Evaluation {
            step: self.trainer.step(),
            validation: loss(&plain),
            validation_ema: averaged.then(|| loss(&average)),
            accuracy: None,
            scored: plain.count,
            whole: false,
        }))
    }

    fn is_solved(&self, _: &Evaluation) -> bool {
        false
    }
}
