//! The objectives of text vectors: partners near each other, or a teacher's vectors.
//!
//! All of it is composed of kernels that are there for other reasons: InfoNCE is the cross-entropy of a text over the table of its
//! candidates' vectors, and a vector of length 1 is a norm whose gain is `1/√m`.

mod encoder;
mod goal;
mod head;

pub use goal::{Goal, Options};

use super::{HyperParams, Losses, Trainer, Workspace};
use crate::{
    backend::Backward,
    config::Config,
    error::{Error, InputError},
    model::Params,
};
use alloc::vec::Vec;
pub(super) use encoder::Recorded;
use encoder::{Encoder, Purpose, Run, Side};
use head::Head;

/// Tensors of one micro-batch of texts.
pub struct EmbeddingWorkspace<B: Backward> {
    options: Options,
    encoder: Encoder<B>,
    head: Head<B>,
}

impl<B: Backward> Workspace<B> for EmbeddingWorkspace<B> {}

/// The texts of a micro-batch, as token ids.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// As many as [`Options::texts`], each one token long at least.
    pub texts: &'a [Vec<u32>],
    /// In contrast: the partner of each text, in their order; then as many again for each further candidate, who are
    /// partners of no text. None with a teacher.
    pub candidates: &'a [Vec<u32>],
    /// With a teacher: its vectors, `[texts, vector_dim]`, of any length above 0. None in contrast.
    pub teacher: &'a [f32],
}

impl<B: Backward> Trainer<B, EmbeddingWorkspace<B>> {
    /// A trainer of text vectors at step 0 with these weights.
    ///
    /// # Errors
    /// [`Error::Config`] for invalid hyper-parameters, [`Error::Device`] where the device is out of memory.
    pub fn for_vectors(
        mut backend: B,
        config: Config,
        hyper: HyperParams,
        weights: Params<B::Tensor>,
        options: Options,
    ) -> Result<Self, Error> {
        hyper.validate(&config)?;
        options.validate(&config)?;
        let head = Head::new(&mut backend, &config, &options).map_err(Error::device)?;
        Self::with_workspace(backend, config, hyper, weights, EmbeddingWorkspace { options, encoder: Encoder::new(), head })
    }

    /// How vectors are trained.
    pub fn options(&self) -> &Options {
        &self.workspace.options
    }

    /// Adds the gradients of one micro-batch. Rooms for lengths that have not come before are made.
    ///
    /// # Errors
    /// [`Error::Input`] for texts or vectors that are not as many as they should be, and for a text without tokens;
    /// [`Error::Device`] where the machine fails.
    pub fn accumulate(&mut self, batch: Texts<'_>) -> Result<(), Error> {
        self.check(&batch)?;
        // Each part of a micro-batch has draws of its own.
        let key = self.key((self.step * self.hyper.accumulate as u64 + self.micro as u64) << 20);
        self.sums.begin(&mut self.backend, &mut self.train_state.grads);
        let (b, workspace, train_state, recorded) = (&mut self.backend, &mut self.workspace, &mut self.train_state, &mut self.recorded);
        let (weights, grads, h) = (&train_state.weights, &mut train_state.grads, &self.hyper);
        let run = Run {
            config: &self.config,
            params: weights,
            options: &workspace.options,
            purpose: Purpose::Learn,
            dropout: (h.dropout > 0.0).then_some(h.dropout),
            recompute: h.recompute,
            key,
        };
        let sides = [Side::new(0, batch.texts, &workspace.options), Side::new(1, batch.candidates, &workspace.options)];
        let weight = weights.pooled.as_ref();
        let mut pass = || -> Result<(), B::Error> {
            let mut pooled: Vec<_> = workspace.head.sides.iter_mut().map(|side| &mut side.pooled[0]).collect();
            workspace.encoder.forward(b, &run, &mut recorded.parts, &sides, &mut pooled)?;
            workspace.head.aim(b, [sides[0].order(), sides[1].order()], batch.teacher)?;
            b.repeat(&mut recorded.gradients, |b| {
                workspace.head.forward(b, weight, 1.0 / h.terms() as f32);
                workspace.head.backward(b, weight, grads.pooled.as_mut());
            });
            let d_pooled: Vec<_> = workspace.head.sides.iter().map(|side| &side.pooled[1]).collect();
            workspace.encoder.backward(b, &run, &mut recorded.parts, &sides, &d_pooled, grads)
        };
        pass().map_err(Error::device)?;
        self.micro += 1;
        Ok(())
    }

    /// Mean losses of the last micro-batch. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn losses(&mut self) -> Result<Losses, Error> {
        self.workspace.head.losses(&mut self.backend).map_err(Error::device)
    }

    /// Losses of held-out texts, with the weights or with their average: no dropout, no gradients.
    ///
    /// # Errors
    /// Those of [`accumulate`](Self::accumulate).
    pub fn evaluate(&mut self, average: bool, batch: Texts<'_>) -> Result<Losses, Error> {
        self.check(&batch)?;
        let (b, workspace, recorded) = (&mut self.backend, &mut self.workspace, &mut self.recorded);
        let (params, purpose) =
            if average { (&self.train_state.ema, Purpose::Average) } else { (&self.train_state.weights, Purpose::Weights) };
        let (options, recompute) = (&workspace.options, self.hyper.recompute);
        let run = Run { config: &self.config, params, options, purpose, dropout: None, recompute, key: [0; 4] };
        let sides = [Side::new(0, batch.texts, &workspace.options), Side::new(1, batch.candidates, &workspace.options)];
        let mut pass = || -> Result<Losses, B::Error> {
            let mut pooled: Vec<_> = workspace.head.sides.iter_mut().map(|side| &mut side.pooled[0]).collect();
            workspace.encoder.forward(b, &run, &mut recorded.parts, &sides, &mut pooled)?;
            workspace.head.aim(b, [sides[0].order(), sides[1].order()], batch.teacher)?;
            b.repeat(&mut recorded.losses[usize::from(average)], |b| workspace.head.forward(b, params.pooled.as_ref(), 1.0));
            workspace.head.losses(b)
        };
        pass().map_err(Error::device)
    }

    /// Mean gates of each layer over the texts that went through the model last; see [`mean_gates`](crate::model::mean_gates).
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>, Error> {
        self.workspace.encoder.gates(&mut self.backend, &self.config).map_err(Error::device)
    }

    fn check(&self, batch: &Texts<'_>) -> Result<(), Error> {
        let o = &self.workspace.options;
        let (texts, candidates) = (o.texts, o.texts * o.candidates());
        let taught = if candidates == 0 { texts * self.config.vector_dim() } else { 0 };
        let found = [batch.texts.len(), batch.candidates.len(), batch.teacher.len()];
        if found != [texts, candidates, taught] {
            return Err(InputError::MicroBatch { found, needed: [texts, candidates, taught] }.into());
        }
        for text in batch.texts.iter().chain(batch.candidates) {
            if text.is_empty() {
                return Err(InputError::EmptyText.into());
            }
            if let Some(id) = text.iter().find(|&&id| id as usize >= self.config.vocab_size) {
                return Err(InputError::TokenOutOfRange { id: *id, vocab_size: self.config.vocab_size }.into());
            }
        }
        Ok(())
    }
}
