//! The feed-forward half of a block: norm, SwiGLU, residual.

use super::{ChunkShape, DropoutKey, Leaf, WithGrad};
use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    ops::*,
    shape::Shape,
};
use alloc::format;

/// Weights of the layer.
pub struct Params<T> {
    /// `[D]`
    pub norm: T,
    /// `[2F, D]`: rows of a, then of b
    pub inp: T,
    /// `[D, F]`
    pub out: T,
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

impl<T> Params<T> {
    /// Leaves in file order; `name` is the block's prefix.
    pub fn new<E>(c: &Config, name: &str, leaf: Leaf<'_, T, E>) -> Result<Self, E> {
        Ok(Self {
            norm: leaf(&format!("{name}norm_ffn.weight"), Shape::vector(c.width))?,
            inp: leaf(&format!("{name}ffn.in.weight"), Shape::matrix(2 * c.ffn, c.width))?,
            out: leaf(&format!("{name}ffn.out.weight"), Shape::matrix(c.width, c.ffn))?,
        })
    }
    /// All leaves in file order.
    pub fn leaves(&self) -> impl Iterator<Item = &T> {
        [&self.norm, &self.inp, &self.out].into_iter()
    }
    /// All leaves in file order.
    pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.norm, &mut self.inp, &mut self.out].into_iter()
    }
}

impl<T> Acts<T> {
    /// Room for a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { normed: x.alloc(b, c.width)?, packed: x.alloc(b, 2 * c.ffn)?, hidden: x.alloc(b, c.ffn)? })
    }
}

/// `y = x + W_out swiglu(W_in rms_norm(x))`, with dropout on the branch if there is `noise`.
#[expect(clippy::too_many_arguments, reason = "weights and activations of one layer")]
pub fn forward<B: Forward>(
    b: &mut B,
    c: &Config,
    layer: usize,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    x: &B::Tensor,
    y: &mut B::Tensor,
    noise: Option<DropoutKey<B::Indices>>,
) {
    b.norm(Norm { x, gain: &p.norm, eps: c.norm_eps }, &mut a.normed);
    b.matmul(Matmul::new(&a.normed, &p.inp), &mut a.packed);
    b.swiglu(Swiglu { packed: &a.packed }, &mut a.hidden);
    super::block::residual(b, Matmul::new(&a.hidden, &p.out), x, 2 * layer as u32 + 1, noise, y);
}

/// [`forward`] read upwards.
#[expect(clippy::too_many_arguments, reason = "weights, activations and their gradients of one layer")]
pub fn backward<B: Backward>(
    b: &mut B,
    c: &Config,
    layer: usize,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    x: &B::Tensor,
    dy: &B::Tensor,
    dx: &mut B::Tensor,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let d = MatmulGrad { x: GradOut::Write(&mut a.grad.hidden), w: &mut p.grad.out, bias: None };
    let branch = super::block::branch(b, 2 * layer as u32 + 1, noise, dy, &mut a.grad.normed);
    b.matmul_grad(Matmul::new(&a.value.hidden, &p.value.out), branch, d);
    b.swiglu_grad(Swiglu { packed: &a.value.packed }, &a.grad.hidden, &mut a.grad.packed);
    let d = MatmulGrad { x: GradOut::Write(&mut a.grad.normed), w: &mut p.grad.inp, bias: None };
    b.matmul_grad(Matmul::new(&a.value.normed, &p.value.inp), &a.grad.packed, d);
    let norm = Norm { x, gain: &p.value.norm, eps: c.norm_eps };
    b.norm_grad(norm, &a.grad.normed, Some(dy), NormGrad { x: dx, gain: &mut p.grad.norm });
}
