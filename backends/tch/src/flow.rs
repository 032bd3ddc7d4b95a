//! Kernels of the rectified-flow head.

use crate::{Indices, Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::{FlowHidden, FlowHiddenGrad, FlowPoint, IGNORE};

pub(crate) fn point(b: &mut Tch, op: FlowPoint<Tensor, Indices>, point: &mut Tensor, velocity: &mut Tensor) {
    let (rows, width) = op.dims(point.shape, velocity.shape);
    let targets = op.targets.vector();
    let scored = targets.map(|t| t.f_ne(i64::from(IGNORE)));
    let targets = targets.with(&scored, tch::Tensor::f_mul);
    let scored = scored.to(b.full).unsqueezed(1);
    let goal = b.matrix(op.table).with(&targets, |table, t| table.f_index_select(0, t)).to(b.full).unit().scaled((width as f64).sqrt());
    let (noise, time) = (b.whole(op.noise).rows(width), b.whole(op.time).view(&[rows, 1]));
    let way = goal.minus(&noise);
    b.put(&noise.plus_product(&time, &way).times(&scored), point);
    b.put(&way.times(&scored), velocity);
}

fn hidden_formula(x: &Value, time: &Value, weight: &Value) -> Value {
    x.plus_product(time, weight).silu()
}

/// x, time and weight in full precision.
fn inputs(b: &Tch, op: &FlowHidden<Tensor>, rows: usize, width: usize) -> [Value; 3] {
    [b.whole(op.x).rows(width), b.whole(op.time).view(&[rows, 1]), b.vector(op.weight)]
}

pub(crate) fn hidden(b: &mut Tch, op: FlowHidden<Tensor>, y: &mut Tensor) {
    let (rows, width) = op.dims(y.shape);
    let [x, time, weight] = inputs(b, &op, rows, width);
    b.put(&hidden_formula(&x, &time, &weight), y);
}

pub(crate) fn hidden_backward(b: &mut Tch, op: FlowHidden<Tensor>, dy: &Tensor, d: FlowHiddenGrad<Tensor>) {
    let (rows, width) = op.dims(dy.shape);
    let [x, time, weight] = inputs(b, &op, rows, width);
    let [dx, d_weight] = replay([&x, &weight], &dy.value(), |[x, weight]| hidden_formula(x, &time, weight));
    b.put(&dx, d.x);
    b.add(&d_weight, d.weight);
}
