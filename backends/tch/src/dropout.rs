//! Dropout with a mask that is drawn again, not kept.

use crate::{Indices, Tch, Tensor, draw::uniform, value::Value};
use hh_core::{
    ops::{Draw, Dropout},
    shape::{Shape, Shaped},
};

/// `mask / (1 − rate)`
fn mask(b: &Tch, draw: Draw<Indices>, rate: f32, shape: Shape) -> Value {
    let kept = uniform(b, draw, shape.count()).map(|u| u.f_ge(f64::from(rate)));
    kept.to(b.full).scaled(1.0 / (1.0 - f64::from(rate))).view(&shape.extents())
}

pub(crate) fn forward(b: &mut Tch, op: Dropout<Tensor, Indices>, y: &mut Tensor) {
    let mask = mask(b, op.draw, op.rate, y.shape);
    let kept = match op.residual {
        Some(residual) => {
            assert_eq!(residual.shape().extents(), y.shape.extents(), "dropout: residual");
            b.whole(residual).plus_product(&b.whole(y), &mask)
        }
        None => y.value().times(&mask),
    };
    b.put(&kept, y);
}

pub(crate) fn backward(b: &mut Tch, op: Dropout<Tensor, Indices>, dy: &Tensor, dx: &mut Tensor) {
    assert_eq!(dy.shape.extents(), dx.shape.extents(), "dropout: gradient");
    let mask = mask(b, op.draw, op.rate, dy.shape);
    b.put(&dy.value().times(&mask), dx);
}
