//! The gates of the mixer.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    sums::Partials,
    tensor::{Mat, columns, columns_mut},
};
use hh_core::{
    ops::{Gate, GateDims, GateGrad},
    shape::Shaped,
};

/// `Controls` of gate.cu: the control column of each gate that is on.
fn controls(on: [bool; 3]) -> Arg {
    let mut fields = [0usize; 4];
    for column in (0..3).filter(|&i| on[i]) {
        fields[fields[3]] = column;
        fields[3] += 1;
    }
    Arg::group(&fields.map(Into::into))
}

pub(crate) fn forward(b: &mut Cuda, op: Gate<Tensor>, gates: &mut Tensor) {
    let GateDims { rows, hidden, .. } = op.dims(gates.shape());
    let control = op.control.as_ref().map_or(Mat::NONE, columns);
    let args = [
        op.hidden.mat().into(),
        op.weight.mat().into(),
        op.bias.mat().into(),
        control.into(),
        controls(op.on),
        rows.into(),
        hidden.into(),
        gates.mat().into(),
    ];
    b.run("gate", "gate_forward", Variant::Plain, LaunchDims::warps(rows), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Gate<Tensor>, gates: &Tensor, dy: &Tensor, d: GateGrad<Tensor>) {
    let GateDims { rows, hidden, paths } = op.dims(gates.shape());
    assert!(dy.shape().extents() == gates.shape().extents(), "gate: gradient {}", dy.shape());
    assert_eq!(d.hidden.shape().extents(), op.hidden.shape().extents(), "gate: gradient of hidden");
    assert!(d.weight.shape().count() == paths * hidden && d.bias.shape().count() == paths, "gate: gradients of the parameters");
    assert_eq!(d.control.is_some(), op.control.is_some(), "gate: gradient of the control columns");
    b.reset_scratch();
    let partials = Partials::over_rows(b, rows, paths * hidden + paths);
    let d_control = d.control.as_ref().map_or(Mat::NONE, columns_mut);
    let args = [
        op.hidden.mat().into(),
        op.weight.mat().into(),
        gates.mat().into(),
        dy.mat().into(),
        controls(op.on),
        rows.into(),
        hidden.into(),
        d.hidden.mat().into(),
        d_control.into(),
        partials.address.into(),
    ];
    b.run("gate", "gate_backward", Variant::Plain, partials.launch_dims, &args);
    partials.add_to(b, 0, paths * hidden, d.weight.flat());
    partials.add_to(b, paths * hidden, paths, d.bias.flat());
}
