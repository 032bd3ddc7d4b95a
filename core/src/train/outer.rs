//! Local steps: ranks train apart for a while, and then move together (DiLoCo, Douillard et al. 2023, arXiv:2311.08105).

use super::Trainer;
use crate::{
    backend::{Backward, Device},
    collective::Collective,
    error::Error,
    model::Params,
    shape::Shaped,
};
use alloc::{vec, vec::Vec};

/// What the outer step of local training remembers, of all weights in file order: on the host, since it is seldom used.
pub struct Outer {
    /// The weights after the outer step before.
    start: Vec<f32>,
    /// Momentum of the outer optimiser.
    pub momentum: Vec<f32>,
}

impl Outer {
    pub(super) fn new<B: Device>(b: &mut B, weights: &Params<B::Tensor>) -> Result<Self, B::Error> {
        let mut start = Vec::new();
        for leaf in weights.leaves() {
            let at = start.len();
            start.resize(at + leaf.shape().count(), 0.0);
            b.download(leaf, &mut start[at..])?;
        }
        Ok(Self { momentum: vec![0.0; start.len()], start })
    }
}

impl<B: Backward, R> Trainer<B, R> {
    /// Whether the ranks move together after this many steps.
    pub fn is_outer(&self, step: u64) -> bool {
        let every = self.hyper.local_steps as u64;
        every > 0 && (step.is_multiple_of(every) || step == self.hyper.schedule.steps)
    }

    /// The momentum of the outer steps, with local steps; a resumed run restores it. The weights before the next one are those
    /// that the trainer was made with.
    pub fn outer_mut(&mut self) -> Option<&mut Outer> {
        self.outer.as_mut()
    }

    /// Moves all ranks together, after local steps. With the mean of their weights as θ̄ and the weights θ₀ before the local steps,
    ///
    /// ```text
    /// Δ = θ₀ − θ̄    v = μ v + Δ    θ = θ₀ − η (Δ + μ v)
    /// ```
    ///
    /// which is Nesterov momentum as in PyTorch's SGD. The moving averages become their mean. Moments stay each rank's own.
    ///
    /// # Errors
    /// [`Error::Collective`] where a rank cannot be reached, [`Error::Device`] where a device fails.
    pub fn outer_step(&mut self, ranks: &mut impl Collective<B>) -> Result<(), Error> {
        let Some(outer) = &mut self.outer else { return Ok(()) };
        let (b, h, state) = (&mut self.backend, &self.hyper, &mut self.train_state);
        let mut leaves: Vec<_> = state.weights.leaves_mut().chain(state.ema.leaves_mut()).collect();
        ranks.all_reduce(b, &mut leaves)?;
        let (share, mut host, mut at) = (1.0 / ranks.size() as f32, Vec::new(), 0);
        for leaf in leaves {
            host.resize(leaf.shape().count(), 0.0);
            b.download(leaf, &mut host).map_err(Error::device)?;
            host.iter_mut().for_each(|x| *x *= share);
            // The averages come after all weights.
            if at < outer.start.len() {
                let part = at..at + host.len();
                let before = outer.start[part.clone()].iter_mut().zip(&mut outer.momentum[part]);
                for (x, (start, v)) in host.iter_mut().zip(before) {
                    let delta = *start - *x;
                    *v = h.outer_momentum * *v + delta;
                    *x = *start - h.outer_lr * (delta + h.outer_momentum * *v);
                    *start = *x;
                }
                at += host.len();
            }
            b.upload(&host, leaf).map_err(Error::device)?;
        }
        Ok(())
    }
}
