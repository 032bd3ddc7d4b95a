//! Rotary position embeddings (RoPE).

use crate::{
    Cuda, Indices, Tensor,
    embed::clock,
    launch::{LaunchDims, Variant},
    tensor::columns_mut,
};
use hh_core::ops::{ColumnsMut, Rotate};

pub(crate) fn forward(b: &mut Cuda, op: Rotate<Indices>, x: ColumnsMut<Tensor>) {
    let ((batch, time, _), d, width) = (x.layout(), op.head_dim, x.width);
    assert!(d.is_multiple_of(2) && width.is_multiple_of(d), "rotate: {width} columns, heads of {d}");
    let x = columns_mut(&x);
    let args =
        [clock(op.clock).into(), x.into(), batch.into(), time.into(), width.into(), d.into(), f64::from(op.base).into(), op.inverse.into()];
    b.run("rotate", "rotate", Variant::Plain, LaunchDims::threads(time * d / 2, 128), &args);
}
