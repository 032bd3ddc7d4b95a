//! Root mean square normalisation.

use crate::{Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::{Norm, NormGrad};

fn formula(x: &Value, gain: &Value, eps: f32) -> Value {
    x.rms_normed(eps.into()).times(gain)
}

pub(crate) fn forward(b: &mut Tch, op: Norm<Tensor>, y: &mut Tensor) {
    op.dims(y.shape);
    b.put(&formula(&b.whole(op.x), &b.vector(op.gain), op.eps), y);
}

pub(crate) fn backward(b: &mut Tch, op: Norm<Tensor>, dy: &Tensor, residual: Option<&Tensor>, d: NormGrad<Tensor>) {
    op.dims(dy.shape);
    let [dx, d_gain] = replay([&b.whole(op.x), &b.vector(op.gain)], &dy.value(), |[x, gain]| formula(x, gain, op.eps));
    let dx = residual.map_or(dx.clone(), |residual| dx.plus(&residual.value()));
    b.put(&dx, d.x);
    b.add(&d_gain, d.gain);
}
