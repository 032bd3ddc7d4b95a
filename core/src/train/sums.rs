//! The gradients of a step's micro-batches, added in an order that depends on their number alone.

use super::{HyperParams, Trainer};
use crate::{
    backend::Backward,
    collective::Collective,
    config::Config,
    error::Error,
    model::{self, Params},
};
use alloc::vec::Vec;

/// Sums of gradients that wait for their neighbours; see [`sum_in_pairs`](crate::collective::sum_in_pairs).
///
/// Kernels add to the gradients that they find, so each micro-batch begins with zeros: the bits of its gradient must not depend
/// on which process computes it. A step of one micro-batch needs nothing of this.
pub(super) struct Sums<T> {
    /// The sum of 2ⁱ micro-batches, where bit i of `waiting` is set.
    partial: Vec<Params<T>>,
    /// Micro-batches that are in these sums.
    waiting: usize,
    /// The gradients hold that of a micro-batch which is in no sum.
    open: bool,
}

/// Trees of sums that `count` micro-batches need at most, beside the gradients themselves.
pub fn partial_sums(count: usize) -> usize {
    (count.max(1) - 1).checked_ilog2().map_or(0, |bits| bits as usize + 1)
}

impl<T> Sums<T> {
    pub(super) fn new<B: Backward<Tensor = T>>(b: &mut B, c: &Config, h: &HyperParams) -> Result<Self, B::Error> {
        let partial = (0..partial_sums(h.share().len())).map(|_| model::zeros(b, c)).collect::<Result<_, _>>()?;
        Ok(Self { partial, waiting: 0, open: false })
    }

    /// Before a micro-batch: puts the gradient of the one before it away.
    pub(super) fn begin<B: Backward<Tensor = T>>(&mut self, b: &mut B, grads: &mut Params<T>) {
        let level = self.waiting.trailing_ones() as usize;
        if core::mem::replace(&mut self.open, true) && level < self.partial.len() {
            for sum in &self.partial[..level] {
                add(b, sum, grads);
            }
            for (grad, sum) in grads.leaves_mut().zip(self.partial[level].leaves_mut()) {
                b.copy(grad, sum);
                b.fill(0.0, grad);
            }
            self.waiting += 1;
        }
    }

    /// After the last micro-batch: the sum of all is in the gradients.
    pub(super) fn close<B: Backward<Tensor = T>>(&mut self, b: &mut B, grads: &mut Params<T>) {
        let waiting = core::mem::take(&mut self.waiting);
        self.open = false;
        for (level, sum) in self.partial.iter().enumerate() {
            if waiting >> level & 1 == 1 {
                add(b, sum, grads);
            }
        }
    }
}

/// `grads += sum`
fn add<B: Backward>(b: &mut B, sum: &Params<B::Tensor>, grads: &mut Params<B::Tensor>) {
    for (sum, grad) in sum.leaves().zip(grads.leaves_mut()) {
        b.add(sum, grad);
    }
}

impl<B: Backward, R> Trainer<B, R> {
    /// Adds the gradients of this rank's micro-batches to those of all other ranks: the gradients of the step, the same bits on
    /// all ranks. To be called by all of them, after the micro-batches and before [`apply`](Self::apply).
    ///
    /// # Errors
    /// [`Error::Collective`] where a rank cannot be reached, [`Error::Device`] where a device fails.
    pub fn all_reduce(&mut self, ranks: &mut impl Collective<B>) -> Result<(), Error> {
        self.sums.close(&mut self.backend, &mut self.train_state.grads);
        if ranks.size() == 1 {
            return Ok(());
        }
        let mut leaves: Vec<_> = self.train_state.grads.leaves_mut().collect();
        ranks.all_reduce(&mut self.backend, &mut leaves)
    }
}
