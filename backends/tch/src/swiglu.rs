//! The gate of the feed-forward half.

use crate::{Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::Swiglu;

fn formula(packed: &Value, width: usize) -> Value {
    packed.columns(0, width).silu().times(&packed.columns(width, width))
}

pub(crate) fn forward(b: &mut Tch, op: Swiglu<Tensor>, y: &mut Tensor) {
    let (_, width) = op.dims(y.shape);
    b.put(&formula(&op.packed.value(), width), y);
}

pub(crate) fn backward(b: &mut Tch, op: Swiglu<Tensor>, dy: &Tensor, dx: &mut Tensor) {
    let (_, width) = op.dims(dy.shape);
    let [d] = replay([&op.packed.value()], &dy.value(), |[packed]| formula(packed, width));
    b.put(&d, dx);
}
