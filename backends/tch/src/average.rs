//! The weighted sum over a sequence's positions.

use crate::{Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::Average;

fn formula(x: &Value, weights: &Value) -> Value {
    x.times(weights).map(|x| x.f_sum_dim_intlist(1i64, true, None))
}

pub(crate) fn forward(b: &mut Tch, op: Average<Tensor>, y: &mut Tensor) {
    let [batch, ..] = op.dims(y.shape);
    let rows = y.matrix().part(0, op.first, batch);
    b.copy_to(&formula(&b.whole(op.x), &b.whole(op.weights)), &rows);
}

pub(crate) fn backward(b: &mut Tch, op: Average<Tensor>, dy: &Tensor, dx: &mut Tensor) {
    let [batch, ..] = op.dims(dy.shape);
    let rows = dy.matrix().part(0, op.first, batch).map(tch::Tensor::f_contiguous);
    let weights = b.whole(op.weights);
    let [d] = replay([&b.whole(op.x)], &rows, |[x]| formula(x, &weights));
    b.put(&d, dx);
}
