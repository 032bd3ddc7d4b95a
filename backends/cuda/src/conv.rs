//! Causal depthwise convolution.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    sums::Partials,
    tensor::{columns, columns_mut, maybe, vec_width},
};
use hh_core::{
    ops::{Conv, ConvDims, ConvGrad},
    shape::Shaped,
};

/// Positions per thread, as in conv.cu.
const CHUNK: usize = 32;

fn sizes(dims: &ConvDims) -> [Arg; 4] {
    [dims.batch, dims.time, dims.width, dims.taps].map(Into::into)
}

/// Largest number of channels per thread: conv.cu keeps up to 4 taps of each in registers, or 16 of one channel.
fn most(dims: &ConvDims) -> usize {
    if dims.taps > 4 { 1 } else { 4 }
}

fn launch_dims(dims: &ConvDims, vec: usize) -> LaunchDims {
    LaunchDims::threads(dims.batch * dims.time.div_ceil(CHUNK) * dims.width / vec, 128)
}

pub(crate) fn forward(b: &mut Cuda, op: Conv<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    let ([batch, time, width, taps], x, y) = (sizes(&dims), columns(&op.x), y.mat());
    let (weight, bias, state) = (op.weight.mat(), op.bias.mat(), maybe(state.as_deref().filter(|_| dims.taps > 1)));
    let n = vec_width(most(&dims), &[dims.width], &[x, y, bias, state]);
    let args = [x.into(), weight.into(), bias.into(), state.into(), batch, time, width, taps, y.into()];
    b.run("conv", "conv_forward", Variant::Vec(n), launch_dims(&dims, n), &args);
    if state.address != 0 {
        let args = [x.into(), batch, time, width, taps, state.into()];
        b.run("conv", "conv_update_state", Variant::Vec(n), LaunchDims::threads(dims.batch * dims.width / n, 128), &args);
    }
}

pub(crate) fn backward(b: &mut Cuda, op: Conv<Tensor>, dy: &Tensor, d: ConvGrad<Tensor>) {
    let dims = op.dims(None, dy.shape());
    let ConvDims { batch, time, width, taps, .. } = dims;
    assert!(d.x.layout().0 == batch && d.x.layout().1 == time && d.x.width == width, "conv: gradient of {width} columns");
    assert!(d.weight.shape().count() == width * taps && d.bias.shape().count() == width, "conv: gradients of the parameters");
    b.reset_scratch();
    let (x, weight, bias, dy, dx) = (columns(&op.x), op.weight.mat(), op.bias.mat(), dy.mat(), columns_mut(&d.x));
    let n = vec_width(most(&dims), &[width], &[x, dy, dx, bias]);
    let (chunks, size) = (batch * time.div_ceil(CHUNK), (taps + 1) * width);
    let partials = Partials::at(b.take(4 * chunks * size), chunks, size);
    let [batch, time, columns, kernel] = sizes(&dims);
    let args = [x.into(), weight.into(), bias.into(), batch, time, columns, kernel, dy.into(), dx.into(), partials.address.into()];
    b.run("conv", "conv_backward", Variant::Vec(n), launch_dims(&dims, n), &args);
    partials.add_to(b, 0, width * taps, d.weight.flat());
    partials.add_to(b, width * taps, width, d.bias.flat());
}
