//! The gated diagonal recurrence.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    sums::Partials,
    tensor::{Mat, columns, columns_mut, maybe, vec_width},
};
use hh_core::{
    ops::{Columns, ColumnsMut, Scan, ScanDims, ScanGrad},
    shape::Shaped,
};

/// Positions per thread, as in scan.cu.
const CHUNK: usize = 32;

/// `ScanInputs` of scan.cu.
fn inputs(op: &Scan<Tensor>, dims: &ScanDims) -> ([Mat; 5], Arg) {
    let mats = [op.x.mat(), columns(&op.gates), op.gate_bias.mat(), op.log_decay.mat(), op.skip.mat()];
    let [x, gates, gate_bias, log_decay, skip] = mats.map(Mat::arg);
    (mats, Arg::group(&[x, gates, gate_bias, log_decay, skip, dims.batch.into(), dims.time.into(), dims.width.into()]))
}

fn launch_dims(dims: &ScanDims, vec: usize) -> LaunchDims {
    LaunchDims::threads(dims.batch * dims.time.div_ceil(CHUNK) * dims.width / vec, 128)
}

/// Scratch for each chunk's map of `h` and the initial `h`; none for a single chunk.
fn ends(b: &mut Cuda, dims: &ScanDims) -> Mat {
    let chunks = dims.time.div_ceil(CHUNK);
    if chunks > 1 { b.take_full(dims.batch * (chunks * 2 + 1), dims.width) } else { Mat::NONE }
}

pub(crate) fn forward(b: &mut Cuda, op: Scan<Tensor>, state: Option<&mut Tensor>, saved: Option<&mut Tensor>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), saved.as_ref().map(|s| s.shape()));
    assert!(y.layout().0 == dims.batch && y.layout().1 == dims.time && y.width == dims.width, "scan: output of {} columns", y.width);
    b.reset_scratch();
    let (mats, inputs) = inputs(&op, &dims);
    let (state, saved, y) = (maybe(state.as_deref()), maybe(saved.as_deref()), columns_mut(&y));
    let n = vec_width(4, &[dims.width], &[state, saved, y]).min(vec_width(4, &[], &mats));
    let ends = ends(b, &dims);
    if ends.address != 0 {
        b.run("scan", "scan_ends", Variant::Vec(n), launch_dims(&dims, n), &[inputs, state.into(), ends.into()]);
    }
    b.run("scan", "scan_forward", Variant::Vec(n), launch_dims(&dims, n), &[inputs, ends.into(), state.into(), saved.into(), y.into()]);
}

pub(crate) fn backward(b: &mut Cuda, op: Scan<Tensor>, saved: &Tensor, dy: Columns<Tensor>, d: ScanGrad<Tensor>) {
    let dims = op.dims(None, Some(saved.shape()));
    let ScanDims { batch, time, width, .. } = dims;
    assert!(dy.layout().0 == batch && dy.layout().1 == time && dy.width == width, "scan: gradient of {} columns", dy.width);
    assert!(d.x.shape().extents() == [batch, time, width] && d.gates.width == 3 * width, "scan: gradients");
    assert_eq!((d.gates.layout().0, d.gates.layout().1), (batch, time), "scan: gradient of the gates");
    assert!(d.gate_bias.shape().count() == 2 * width, "scan: gradient of gate_bias");
    b.reset_scratch();
    let (mats, inputs) = inputs(&op, &dims);
    let (saved, dy, dx, d_gates) = (saved.mat(), columns(&dy), d.x.mat(), columns_mut(&d.gates));
    let n = vec_width(4, &[width], &[saved, dy, dx, d_gates]).min(vec_width(4, &[], &mats));
    let ends = ends(b, &dims);
    if ends.address != 0 {
        b.run("scan", "scan_back_ends", Variant::Vec(n), launch_dims(&dims, n), &[inputs, dy.into(), ends.into()]);
    }
    let chunks = batch * time.div_ceil(CHUNK);
    let partial = b.take_full(chunks * 4, width);
    let args = [inputs, ends.into(), saved.into(), dy.into(), dx.into(), d_gates.into(), partial.into()];
    b.run("scan", "scan_backward", Variant::Vec(n), launch_dims(&dims, n), &args);
    let partials = Partials::at(partial.address, chunks, 4 * width);
    partials.add_to(b, 0, 2 * width, d.gate_bias.flat());
    partials.add_to(b, 2 * width, width, d.log_decay.flat());
    partials.add_to(b, 3 * width, width, d.skip.flat());
}
