//! The rectified-flow head.

use crate::{
    Cuda, Indices, Tensor,
    launch::{LaunchDims, Variant},
    sums::Partials,
};
use hh_core::{
    ops::{FlowHidden, FlowHiddenGrad, FlowPoint, SquaredError},
    shape::Shaped,
};

pub(crate) fn point(b: &mut Cuda, op: FlowPoint<Tensor, Indices>, point: &mut Tensor, velocity: &mut Tensor) {
    let (rows, width) = op.dims(point.shape(), velocity.shape());
    let args = [
        op.targets.address().into(),
        op.table.mat().into(),
        op.noise.mat().into(),
        op.time.flat().into(),
        rows.into(),
        width.into(),
        point.mat().into(),
        velocity.mat().into(),
    ];
    b.run("flow", "flow_point", Variant::Plain, LaunchDims::warps(rows), &args);
}

pub(crate) fn hidden(b: &mut Cuda, op: FlowHidden<Tensor>, y: &mut Tensor) {
    let (rows, width) = op.dims(y.shape());
    let args = [op.x.mat().into(), op.time.flat().into(), op.weight.mat().into(), rows.into(), width.into(), y.mat().into()];
    b.run("flow", "flow_hidden_forward", Variant::Plain, LaunchDims::threads(rows * width, 256), &args);
}

pub(crate) fn hidden_grad(b: &mut Cuda, op: FlowHidden<Tensor>, dy: &Tensor, d: FlowHiddenGrad<Tensor>) {
    let (rows, width) = op.dims(dy.shape());
    assert!(d.x.shape().extents() == dy.shape().extents() && d.weight.shape().count() == width, "flow_hidden: gradients");
    b.reset_scratch();
    let partials = Partials::over_rows(b, rows, width);
    let (x, time, weight) = (op.x.mat().into(), op.time.flat().into(), op.weight.mat().into());
    let args = [x, time, weight, rows.into(), width.into(), dy.mat().into(), d.x.mat().into(), partials.address.into()];
    b.run("flow", "flow_hidden_backward", Variant::Plain, partials.launch_dims, &args);
    partials.add_to(b, 0, width, d.weight.flat());
}

pub(crate) fn squared_error(b: &mut Cuda, op: SquaredError<Tensor>, losses: &mut Tensor, dx: &mut Tensor) {
    let (rows, width) = op.dims(losses.shape());
    assert_eq!(dx.shape().extents(), op.x.shape().extents(), "squared_error: gradient");
    let slope = (2.0 * f64::from(op.scale) / (rows * width).max(1) as f64) as f32;
    let args = [op.x.mat().into(), op.goal.mat().into(), rows.into(), width.into(), slope.into(), losses.flat().into(), dx.mat().into()];
    b.run("flow", "squared_error", Variant::Plain, LaunchDims::warps(rows), &args);
}
