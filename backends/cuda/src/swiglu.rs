//! The SwiGLU gate of the feed-forward layer.

use crate::{
    Cuda, Tensor,
    launch::{LaunchDims, Variant},
    tensor::vec_width,
};
use hh_core::{ops::Swiglu, shape::Shaped};

pub(crate) fn forward(b: &mut Cuda, op: Swiglu<Tensor>, y: &mut Tensor) {
    let (rows, width) = op.dims(y.shape());
    let (packed, y) = (op.packed.mat(), y.mat());
    let n = vec_width(8, &[width], &[packed, y]);
    let args = [packed.into(), rows.into(), width.into(), y.into()];
    b.run("swiglu", "swiglu_forward", Variant::Vec(n), LaunchDims::threads(rows * width / n, 256), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Swiglu<Tensor>, dy: &Tensor, dx: &mut Tensor) {
    let (rows, width) = op.dims(dy.shape());
    assert_eq!(dx.shape().extents(), op.packed.shape().extents(), "swiglu: gradient");
    let (packed, dy, dx) = (op.packed.mat(), dy.mat(), dx.mat());
    let n = vec_width(8, &[width], &[packed, dy, dx]);
    let args = [packed.into(), rows.into(), width.into(), dy.into(), dx.into()];
    b.run("swiglu", "swiglu_backward", Variant::Vec(n), LaunchDims::threads(rows * width / n, 256), &args);
}
