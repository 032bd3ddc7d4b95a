//! Texts side by side on a device, and their pooled hidden states: what inference and training both run.

use super::pooling::{Pooling, weight};
use crate::{
    backend::{Backward, Device, Forward},
    layers::ChunkShape,
    model::Acts,
    ops::Average,
    shape::Shape,
};
use alloc::vec::Vec;

/// A piece of a text: the whole of it, or one of the chunks of a long one.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) tokens: &'a [u32],
    /// Position of its first token in the text.
    pub(crate) start: usize,
    /// Tokens of the whole text.
    pub(crate) of: usize,
}

impl<'a> From<&'a [u32]> for Piece<'a> {
    /// The whole of a text.
    fn from(tokens: &'a [u32]) -> Self {
        Self { tokens, start: 0, of: tokens.len() }
    }
}

/// Ids and weights of a batch on the host.
#[derive(Default)]
pub(crate) struct Staging {
    ids: Vec<u32>,
    weights: Vec<f32>,
}

/// Texts side by side, padded to one length. The model is causal, so what fills a row up changes no position of its text, and it
/// weighs nothing in the pooled vector.
pub(crate) struct TextBatch<B: Device> {
    /// `[B, T]`
    pub(crate) tokens: B::Indices,
    /// `[B, T, 1]`: what a position counts
    weights: B::Tensor,
    pub(crate) acts: Acts<B::Tensor>,
    time: usize,
}

impl<B: Device> TextBatch<B> {
    /// Memory for texts of this shape, whose activations are `acts`.
    pub(crate) fn new(b: &mut B, x: ChunkShape, acts: Acts<B::Tensor>) -> Result<Self, B::Error> {
        Ok(Self { tokens: b.alloc_indices(Shape::matrix(x.batch, x.time))?, weights: x.full(b, 1)?, acts, time: x.time })
    }

    /// Puts pieces of texts there, one a row.
    pub(crate) fn upload<'a>(
        &mut self,
        b: &mut B,
        pooling: Pooling,
        pieces: impl Iterator<Item = Piece<'a>>,
        staging: &mut Staging,
    ) -> Result<(), B::Error> {
        let Staging { ids, weights } = staging;
        ids.clear();
        weights.clear();
        for Piece { tokens, start, of } in pieces {
            let padding = self.time - tokens.len();
            ids.extend(tokens.iter().copied().chain(core::iter::repeat_n(0, padding)));
            let own = (start..start + tokens.len()).map(|t| weight(pooling, t, of));
            weights.extend(own.chain(core::iter::repeat_n(0.0, padding)));
        }
        b.upload_indices(ids, &mut self.tokens)?;
        b.upload(weights, &mut self.weights)
    }

    fn average(&self, first: usize) -> Average<'_, B::Tensor> {
        Average { x: &self.acts.hidden, weights: &self.weights, first }
    }
}

impl<B: Forward> TextBatch<B> {
    /// Writes the pooled hidden states to rows `first ..` of `y`, `[rows, D]`.
    pub(crate) fn pool(&self, b: &mut B, first: usize, y: &mut B::Tensor) {
        b.average(self.average(first), y);
    }
}

impl<B: Backward> TextBatch<B> {
    /// [`pool`](Self::pool) read upwards: writes the gradient of the hidden states, `[B, T, D]`.
    pub(crate) fn pool_grad(&self, b: &mut B, first: usize, dy: &B::Tensor, d_hidden: &mut B::Tensor) {
        b.average_grad(self.average(first), dy, d_hidden);
    }
}
