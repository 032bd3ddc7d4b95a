//! Root-mean-square normalisation (RMSNorm).

use crate::{
    Cuda, Tensor,
    launch::{LaunchDims, Variant},
    sums::Partials,
    tensor::{maybe, vec_width},
};
use hh_core::{
    ops::{Norm, NormGrad},
    shape::Shaped,
};

pub(crate) fn forward(b: &mut Cuda, op: Norm<Tensor>, y: &mut Tensor) {
    let (rows, width) = op.dims(y.shape());
    let (x, gain, y) = (op.x.mat(), op.gain.mat(), y.mat());
    let n = vec_width(8, &[width], &[x, gain, y]);
    let args = [x.into(), gain.into(), rows.into(), width.into(), op.eps.into(), y.into()];
    b.run("norm", "norm_forward", Variant::Vec(n), LaunchDims::warps(rows), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Norm<Tensor>, dy: &Tensor, residual: Option<&Tensor>, d: NormGrad<Tensor>) {
    let (rows, width) = op.dims(dy.shape());
    assert!(d.x.shape().extents() == dy.shape().extents() && d.gain.shape().count() == width, "norm: gradients");
    if let Some(residual) = residual {
        assert_eq!(residual.shape().extents(), dy.shape().extents(), "norm: residual's gradient");
    }
    b.reset_scratch();
    let (x, gain, dy, residual, dx) = (op.x.mat(), op.gain.mat(), dy.mat(), maybe(residual), d.x.mat());
    let n = vec_width(8, &[width], &[x, gain, dy, residual, dx]);
    let partials = Partials::over_rows(b, rows, width);
    let (sizes, sums) = ([rows, width].map(Into::into), partials.address.into());
    let args = [x.into(), gain.into(), sizes[0], sizes[1], op.eps.into(), dy.into(), residual.into(), dx.into(), sums];
    b.run("norm", "norm_backward", Variant::Vec(n), partials.launch_dims, &args);
    partials.add_to(b, 0, width, d.gain.mat());
}
