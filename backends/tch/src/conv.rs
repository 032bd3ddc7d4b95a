//! Causal depthwise convolution, as a sum over its few taps, which is faster here than torch's general convolution.

use crate::{Tch, Tensor, replay::replay, tensor::columns, value::Value};
use hh_core::{
    ops::{Conv, ConvDims, ConvGrad},
    shape::Shaped,
};

/// `seen`: the input preceded by the `k − 1` earlier positions, `[B, k − 1 + T, w]`.
fn formula(dims: ConvDims, seen: &Value, weight: &Value, bias: &Value) -> Value {
    let tap = |i: usize| weight.part(1, i, 1).flat();
    let input = |i: usize| seen.part(1, i, dims.time);
    let first = bias.plus_product(&input(0), &tap(0));
    (1..dims.taps).fold(first, |sum, i| sum.plus_product(&input(i), &tap(i))).silu()
}

pub(crate) fn forward(b: &mut Tch, op: Conv<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), y.shape);
    let x = b.wide(&columns(&op.x));
    let seen = match &state {
        Some(state) => Value::cat(&[&state.value(), &x], 1),
        None => x.padded(dims.taps - 1, 0),
    };
    b.put(&formula(dims, &seen, &b.matrix(op.weight), &b.vector(op.bias)), y);
    if let Some(state) = state {
        b.copy_to(&seen.part(1, dims.time, dims.taps - 1), &state.value());
    }
}

pub(crate) fn backward(b: &mut Tch, op: Conv<Tensor>, dy: &Tensor, d: ConvGrad<Tensor>) {
    let dims = op.dims(None, dy.shape);
    let x = b.wide(&columns(&op.x));
    let [dx, d_weight, d_bias] = replay([&x, &b.matrix(op.weight), &b.vector(op.bias)], &dy.value(), |[x, weight, bias]| {
        formula(dims, &x.padded(dims.taps - 1, 0), weight, bias)
    });
    b.put_columns(&dx, d.x);
    b.add(&d_weight, d.weight);
    b.add(&d_bias, d.bias);
}
