//! Random numbers, and dropout, whose backward pass recomputes the mask from the counter-based generator.

use crate::{
    Cuda, Indices, Tensor,
    launch::{LaunchDims, Variant},
    tensor::{Mat, maybe},
};
use hh_core::{
    ops::{Draw, Dropout},
    shape::Shaped,
};

pub(crate) fn dropout(b: &mut Cuda, op: Dropout<Tensor, Indices>, y: &mut Tensor) {
    if let Some(residual) = op.residual {
        assert_eq!(residual.shape().extents(), y.shape().extents(), "dropout: residual");
    }
    masked(b, &op, y.mat(), maybe(op.residual), y);
}

pub(crate) fn dropout_grad(b: &mut Cuda, op: Dropout<Tensor, Indices>, dy: &Tensor, dx: &mut Tensor) {
    assert_eq!(dy.shape().extents(), dx.shape().extents(), "dropout: gradient");
    masked(b, &op, dy.mat(), Mat::NONE, dx);
}

fn masked(b: &mut Cuda, op: &Dropout<Tensor, Indices>, x: Mat, residual: Mat, y: &mut Tensor) {
    let count = y.shape().count();
    let (key, site) = (op.draw.key.address().into(), op.draw.site.into());
    let args = [key, site, op.rate.into(), x.into(), residual.into(), (count as u64).into(), y.mat().into()];
    b.run("random", "dropout", Variant::Plain, LaunchDims::threads(count.div_ceil(4), 256), &args);
}

pub(crate) fn draw(b: &mut Cuda, name: &'static str, draw: Draw<Indices>, y: &mut Tensor) {
    let count = y.shape().count();
    let args = [draw.key.address().into(), draw.site.into(), (count as u64).into(), y.mat().into()];
    b.run("random", name, Variant::Plain, LaunchDims::threads(count.div_ceil(4), 256), &args);
}
