//! The feed-forward half of a block: norm, SwiGLU, residual.

use super::{
    ChunkShape, WithGrad,
    residual::{Branch, residual, residual_grad},
    tree::tree,
};
use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    ops::*,
    pass::Pass,
    shape::Shape,
};
use alloc::format;

tree! {
    /// Weights of the layer. `name` is the block's prefix.
    pub struct Params(c: &Config, name: &str; leaf) {
        /// `[D]`
        norm: T as leaf = leaf(&format!("{name}norm_ffn.weight"), Shape::vector(c.width))?,
        /// `[2F, D]`: rows of a, then of b
        inp: T as leaf = leaf(&format!("{name}ffn.in.weight"), Shape::matrix(2 * c.ffn, c.width))?,
        /// `[D, F]`
        out: T as leaf = leaf(&format!("{name}ffn.out.weight"), Shape::matrix(c.width, c.ffn))?,
    }
}

/// Activations of the layer.
pub struct Acts<T> {
    /// `[B, T, D]`
    pub normed: T,
    /// `[B, T, 2F]`: a | b
    pub packed: T,
    /// `[B, T, F]`: silu(a) ∘ b
    pub hidden: T,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { normed: x.alloc(b, c.width)?, packed: x.alloc(b, 2 * c.ffn)?, hidden: x.alloc(b, c.ffn)? })
    }
}

/// `y = x + W_out swiglu(W_in rms_norm(x))`, with dropout on the branch if the pass has any.
pub fn forward<B: Forward, H>(pass: &mut Pass<'_, B, H>, p: &Params<B::Tensor>, a: &mut Acts<B::Tensor>, x: &B::Tensor, y: &mut B::Tensor) {
    let (b, c) = (&mut *pass.backend, pass.config);
    b.norm(Norm { x, gain: &p.norm, eps: c.norm_eps }, &mut a.normed);
    b.matmul(Matmul::new(&a.normed, &p.inp), &mut a.packed);
    b.swiglu(Swiglu { packed: &a.packed }, &mut a.hidden);
    residual(pass, Branch::FeedForward, Matmul::new(&a.hidden, &p.out), x, y);
}

/// [`forward`] read upwards.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    x: &B::Tensor,
    dy: &B::Tensor,
    dx: &mut B::Tensor,
) {
    let branch = residual_grad(pass, Branch::FeedForward, dy, &mut a.grad.normed);
    let (b, c) = (&mut *pass.backend, pass.config);
    let d = MatmulGrad { x: GradOut::Write(&mut a.grad.hidden), w: &mut p.grad.out, bias: None };
    b.matmul_grad(Matmul::new(&a.value.hidden, &p.value.out), branch, d);
    b.swiglu_grad(Swiglu { packed: &a.value.packed }, &a.grad.hidden, &mut a.grad.packed);
    let d = MatmulGrad { x: GradOut::Write(&mut a.grad.normed), w: &mut p.grad.inp, bias: None };
    b.matmul_grad(Matmul::new(&a.value.normed, &p.value.inp), &a.grad.packed, d);
    let norm = Norm { x, gain: &p.value.norm, eps: c.norm_eps };
    b.norm_grad(norm, &a.grad.normed, Some(dy), NormGrad { x: dx, gain: &mut p.grad.norm });
}
