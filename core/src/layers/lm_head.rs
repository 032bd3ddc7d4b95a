//! LM head: from hidden states to logits, through `embed.down` if E and D differ, then by the table of the token embedding. It has
//! no weights of its own.

use super::{ChunkShape, WithGrad, embedding::Params, tree::when};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    ops::*,
    shape::Shape,
};

/// Activations of the head.
pub struct Acts<T> {
    /// `[B, T, E]`: hidden states through `embed.down`, if E and D differ
    pub projected: Option<T>,
}

/// Losses of a chunk, and what computes them; see [`CrossEntropy`].
pub struct Loss<'a, T, I> {
    /// Ids `[B, T]`; [`IGNORE`] is not scored.
    pub targets: &'a I,
    /// `[B, T, 2]`: what the episodic memory says of the targets, if there is one.
    pub mixture: Option<&'a T>,
    /// ε of label smoothing.
    pub smoothing: f32,
    /// λ of the z-loss.
    pub z_weight: f32,
    /// 1, or 1 over the number of accumulated micro-batches.
    pub scale: f32,
    /// [`scratch`] for logits.
    pub scratch: &'a mut T,
    /// `[B, T, 3]`: nll, z and smooth of each row, written.
    pub losses: &'a mut T,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { projected: when(c.factorised(), || x.alloc(b, c.embed_dim))? })
    }
}

/// Scratch for the logits of as many rows of a chunk as the backend computes at a time ([`Device::logit_rows`]), `[rows, V]`.
///
/// # Errors
/// Those of the device, where it is out of memory.
pub fn scratch<B: Device>(b: &mut B, c: &Config, x: ChunkShape) -> Result<B::Tensor, B::Error> {
    b.alloc(Shape::matrix(b.logit_rows(x.batch * x.time, c.vocab_size), c.vocab_size), Precision::Scratch)
}

/// From normalised hidden states `[B, T, D]` to `logits`, `[B, T, V]`.
pub fn forward<B: Forward>(b: &mut B, p: &Params<B::Tensor>, a: &mut Acts<B::Tensor>, hidden: &B::Tensor, logits: &mut B::Tensor) {
    let x = project(b, p, a, hidden);
    b.matmul(Matmul::new(x, &p.table), logits);
}

/// From normalised hidden states `[B, T, D]` to losses, without all logits at once in memory.
pub fn losses<B: Forward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    hidden: &B::Tensor,
    loss: Loss<B::Tensor, B::Indices>,
) {
    let x = project(b, p, a, hidden);
    let Loss { targets, mixture, smoothing, z_weight, scale, scratch, losses } = loss;
    b.cross_entropy(CrossEntropy { x, table: &p.table, targets, mixture, smoothing, z_weight, scale }, scratch, losses);
}

/// [`losses`] and its gradients in one pass, of hidden states that were [projected](project): writes their gradient, adds to those
/// of the weights.
pub fn backward<B: Backward>(
    b: &mut B,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    hidden: WithGrad<B::Tensor>,
    loss: Loss<B::Tensor, B::Indices>,
    d_mixture: Option<&mut B::Tensor>,
) {
    let Loss { targets, mixture, smoothing, z_weight, scale, scratch, losses } = loss;
    let op = CrossEntropy { x: hidden.value, table: &p.value.table, targets, mixture, smoothing, z_weight, scale };
    match (&p.value.factors, &mut p.grad.factors, &a.value.projected, &mut a.grad.projected) {
        (Some([_, down]), Some([_, d_down]), Some(x), Some(dx)) => {
            let d = CrossEntropyGrad { x: Some(&mut *dx), table: Some(&mut p.grad.table), mixture: d_mixture };
            b.cross_entropy_grad(CrossEntropy { x, ..op }, scratch, losses, d);
            b.matmul_grad(Matmul::new(hidden.value, down), dx, MatmulGrad { x: GradOut::Write(hidden.grad), w: d_down, bias: None });
        }
        _ => {
            let d = CrossEntropyGrad { x: Some(hidden.grad), table: Some(&mut p.grad.table), mixture: d_mixture };
            b.cross_entropy_grad(op, scratch, losses, d);
        }
    }
}

/// [`losses`] of a head that stays as it is, and the gradient of its mixture.
pub fn mixture_grad<B: Backward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    hidden: &B::Tensor,
    loss: Loss<B::Tensor, B::Indices>,
    d_mixture: &mut B::Tensor,
) {
    let x = project(b, p, a, hidden);
    let Loss { targets, mixture, smoothing, z_weight, scale, scratch, losses } = loss;
    let op = CrossEntropy { x, table: &p.table, targets, mixture, smoothing, z_weight, scale };
    b.cross_entropy_grad(op, scratch, losses, CrossEntropyGrad { x: None, table: None, mixture: Some(d_mixture) });
}

/// Hidden states as wide as the table: through `embed.down` if E and D differ.
pub fn project<'a, B: Forward>(b: &mut B, p: &Params<B::Tensor>, a: &'a mut Acts<B::Tensor>, hidden: &'a B::Tensor) -> &'a B::Tensor {
    match (&p.factors, &mut a.projected) {
        (Some([_, down]), Some(projected)) => {
            b.matmul(Matmul::new(hidden, down), projected);
            projected
        }
        _ => hidden,
    }
}
