//! The controller's exponential moving average over time.

use crate::{
    Cuda, Tensor,
    launch::{LaunchDims, Variant},
    sums::Partials,
    tensor::{Mat, maybe, vec_width},
};
use hh_core::{
    ops::{Pool, PoolGrad},
    shape::Shaped,
};

/// Positions per thread, as in pool.cu.
const CHUNK: usize = 32;

fn launch_dims([batch, time, width]: [usize; 3], vec: usize) -> LaunchDims {
    LaunchDims::threads(batch * time.div_ceil(CHUNK) * width / vec, 128)
}

/// Scratch for the end state of each chunk and the initial state; none for a single chunk.
fn ends(b: &mut Cuda, [batch, time, width]: [usize; 3]) -> Mat {
    let chunks = time.div_ceil(CHUNK);
    if chunks > 1 { b.take_full(batch * (chunks + 1), width) } else { Mat::NONE }
}

pub(crate) fn forward(b: &mut Cuda, op: Pool<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
    let extents = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    b.reset_scratch();
    let (x, decay, state, y) = (op.x.mat(), op.decay.mat(), maybe(state.as_deref()), y.mat());
    let n = vec_width(4, &[extents[2]], &[x, decay, state, y]);
    let (ends, [batch, time, width]) = (ends(b, extents), extents.map(Into::into));
    if ends.address != 0 {
        let args = [x.into(), decay.into(), state.into(), batch, time, width, ends.into()];
        b.run("pool", "pool_ends", Variant::Vec(n), launch_dims(extents, n), &args);
    }
    let args = [x.into(), decay.into(), ends.into(), state.into(), batch, time, width, y.into()];
    b.run("pool", "pool_forward", Variant::Vec(n), launch_dims(extents, n), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Pool<Tensor>, y: &Tensor, dy: &Tensor, d: PoolGrad<Tensor>) {
    let extents = op.dims(None, y.shape());
    assert!(dy.shape() == y.shape() && d.x.shape() == y.shape(), "pool: gradients {} and {} of {}", dy.shape(), d.x.shape(), y.shape());
    b.reset_scratch();
    let (x, decay, y, dy, dx) = (op.x.mat(), op.decay.mat(), y.mat(), dy.mat(), d.x.mat());
    let n = vec_width(4, &[extents[2]], &[x, decay, y, dy, dx]);
    let ends = ends(b, extents);
    let chunks = extents[0] * extents[1].div_ceil(CHUNK);
    let partial = b.take_full(chunks, extents[2]);
    let [batch, time, width] = extents.map(Into::into);
    if ends.address != 0 {
        let args = [dy.into(), decay.into(), batch, time, width, ends.into()];
        b.run("pool", "pool_back_ends", Variant::Vec(n), launch_dims(extents, n), &args);
    }
    let args = [x.into(), decay.into(), ends.into(), y.into(), dy.into(), batch, time, width, dx.into(), partial.into()];
    b.run("pool", "pool_backward", Variant::Vec(n), launch_dims(extents, n), &args);
    Partials::at(partial.address, chunks, extents[2]).add_to(b, 0, extents[2], d.decay.flat());
}
