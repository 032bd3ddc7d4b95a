//! HController: between two passes over the blocks, a causal running summary of what the first one thought biases the
//! second one's gates, and adds to its input. It sees the hidden states through a stop-gradient.

use super::{
    ChunkShape, WithGrad,
    tree::{tree, when},
};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    hooks::Hooks,
    ops::*,
    pass::Pass,
    shape::Shape,
};

tree! {
    /// Weights of the controller.
    pub struct Params(c: &Config; leaf; width = c.controller_width) {
        /// `[C, D]`
        inp: T as leaf = leaf("controller.in.weight", Shape::matrix(width, c.width))?,
        /// `[C]`
        decay: T as leaf = leaf("controller.decay", Shape::vector(width))?,
        /// `[3L, C]`: rows 3l, 3l+1, 3l+2 speak to ssm, hopfield, attention of layer l
        gate_bias: T as leaf = leaf("controller.gate_bias.weight", Shape::matrix(3 * c.layers, width))?,
        /// `[D, C]`, if the controller also adds to the input
        inject: Option<T> as option = when(c.controller_inject, || leaf("controller.inject.weight", Shape::matrix(c.width, width)))?,
    }
}

/// Activations of the controller.
pub struct Acts<T> {
    /// `[B, T, D]`: the normalised hidden states of the segment before
    pub seen: T,
    /// `[B, T, C]`, before silu
    pub inp: T,
    /// `[B, T, C]`: the running summary
    pub summary: T,
    /// `[B, T, 3L]`: biases of all gates
    pub control: T,
    /// `[B, T, D]`: the next segment's input, if the controller adds to it
    pub entry: Option<T>,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self {
            seen: x.alloc(b, c.width)?,
            inp: x.alloc(b, c.controller_width)?,
            summary: x.full(b, c.controller_width)?,
            control: x.full(b, 3 * c.layers)?,
            entry: when(c.controller_inject, || x.alloc(b, c.width))?,
        })
    }
}

/// The running summary of an empty past, `[B, C]`.
pub fn state<B: Device>(b: &mut B, c: &Config, batch: usize) -> Result<B::Tensor, B::Error> {
    b.alloc(Shape::matrix(batch, c.controller_width), Precision::Full)
}

/// From `a.seen`, which the segment at hand left, to `a.control` and `a.entry`; `start` is the first segment's input.
///
/// # Errors
/// Those of the hooks.
pub fn forward<B: Forward, H: Hooks<B>>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    s: Option<&mut B::Tensor>,
    a: &mut Acts<B::Tensor>,
    start: &B::Tensor,
) -> Result<(), H::Error> {
    let b = &mut *pass.backend;
    b.matmul(Matmul::new(&a.seen, &p.inp), &mut a.inp);
    b.pool(Pool { x: &a.inp, decay: &p.decay }, s, &mut a.summary);
    pass.hooks.summary(b, pass.block.segment, &mut a.summary)?;
    b.matmul(Matmul::new(&a.summary, &p.gate_bias), &mut a.control);
    if let (Some(inject), Some(entry)) = (&p.inject, &mut a.entry) {
        b.matmul(Matmul { add: Some(start), ..Matmul::new(&a.summary, inject) }, entry);
    }
    Ok(())
}

/// [`forward`] read upwards: from the gradients in `a.grad.control` and, of the last segment's input, in `d_entry`.
/// The gradient of `start` is `d_entry` itself.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    d_entry: &B::Tensor,
) {
    let b = &mut *pass.backend;
    let d = MatmulGrad { x: GradOut::Write(&mut a.grad.summary), w: &mut p.grad.gate_bias, bias: None };
    b.matmul_grad(Matmul::new(&a.value.summary, &p.value.gate_bias), &a.grad.control, d);
    if let (Some(inject), Some(d_inject)) = (&p.value.inject, &mut p.grad.inject) {
        let d = MatmulGrad { x: GradOut::Add(&mut a.grad.summary), w: d_inject, bias: None };
        b.matmul_grad(Matmul::new(&a.value.summary, inject), d_entry, d);
    }
    let pool = Pool { x: &a.value.inp, decay: &p.value.decay };
    b.pool_grad(pool, &a.value.summary, &a.grad.summary, PoolGrad { x: &mut a.grad.inp, decay: &mut p.grad.decay });
    let d = MatmulGrad { x: GradOut::Skip, w: &mut p.grad.inp, bias: None };
    b.matmul_grad(Matmul::new(&a.value.seen, &p.value.inp), &a.grad.inp, d);
}
