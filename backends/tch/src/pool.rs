//! The controller's exponential moving average over time.

use crate::{
    Tch, Tensor,
    replay::replay,
    scan::{recurrence, recurrence_after},
    value::Value,
};
use hh_core::{
    ops::{Pool, PoolGrad},
    shape::Shaped,
};

fn formula(before: Option<&Value>, x: &Value, decay: &Value, time: usize) -> Value {
    let keep = decay.sigmoid();
    let input = x.silu().times(&keep.scaled(-1.0).shifted(1.0));
    let a = keep.with(x, |keep, x| keep.f_expand_as(x));
    match before {
        Some(before) => recurrence_after(before, &a, &input, time),
        None => recurrence(&a, &input, time),
    }
}

pub(crate) fn forward(b: &mut Tch, op: Pool<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
    let [_, time, _] = op.dims(state.as_ref().map(|s| s.shape()), y.shape);
    let before = state.as_ref().map(|state| b.matrix(state));
    let m = formula(before.as_ref(), &b.whole(op.x), &b.vector(op.decay), time);
    if let Some(state) = state {
        b.copy_to(&m.part(1, time - 1, 1), &state.value());
    }
    b.put(&m, y);
}

pub(crate) fn backward(b: &mut Tch, op: Pool<Tensor>, dy: &Tensor, d: PoolGrad<Tensor>) {
    let [_, time, _] = op.dims(None, dy.shape);
    let [dx, d_decay] = replay([&b.whole(op.x), &b.vector(op.decay)], &dy.value(), |[x, decay]| formula(None, x, decay, time));
    b.put(&dx, d.x);
    b.add(&d_decay, d.decay);
}
