//! Rotary position embeddings (RoPE).

use crate::{Indices, Tch, Tensor, tensor::columns_mut, value::Value};
use hh_core::ops::{ColumnsMut, Rotate};
use tch::Kind;

pub(crate) fn forward(b: &mut Tch, op: Rotate<Indices>, x: ColumnsMut<Tensor>) {
    let ((_, time, _), d) = (x.layout(), op.head_dim);
    assert!(d.is_multiple_of(2) && x.width.is_multiple_of(d), "rotate: {} columns, heads of {d}", x.width);
    // Angles of late positions need more precision than f32; MPS has no f64.
    let precise = if b.device == tch::Device::Mps { Kind::Float } else { Kind::Double };
    let chunk = b.count(time);
    let positions = op.clock.map_or(chunk.clone(), |clock| chunk.plus(&clock.vector())).to(precise);
    let direction = if op.inverse { -1.0 } else { 1.0 };
    let rates = b.count(d / 2).to(precise).scaled(-2.0 / d as f64 * f64::from(op.base).ln()).exp().scaled(direction);
    // [T, 1, d/2]
    let angle = positions.unsqueezed(1).times(&rates).unsqueezed(1);
    let (cos, sin) = (b.wide(&angle.map(tch::Tensor::f_cos)), b.wide(&angle.map(tch::Tensor::f_sin)));

    let heads = b.wide(&columns_mut(&x)).map(|x| x.f_unflatten(-1, [-1, d as i64]));
    let (first, second) = (heads.columns(0, d / 2), heads.columns(d / 2, d / 2));
    let turned = [first.times(&cos).minus(&second.times(&sin)), first.times(&sin).plus(&second.times(&cos))];
    b.put_columns(&Value::cat(&turned, -1), x);
}
