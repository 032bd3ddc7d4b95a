//! The fusion of the paths.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    sums::Partials,
    tensor::{maybe, vec_width},
};
use hh_core::{
    ops::{Mix, MixGrad},
    shape::Shaped,
};

/// Widths of the paths that are on, and `Spans` of mix.cu.
fn spans(widths: [usize; 3]) -> ([usize; 3], Arg) {
    let mut on = [0; 3];
    let mut count = 0usize;
    for width in widths.into_iter().filter(|&w| w > 0) {
        on[count] = width;
        count += 1;
    }
    (on, Arg::group(&[on[0].into(), on[1].into(), on[2].into(), count.into()]))
}

pub(crate) fn forward(b: &mut Cuda, op: Mix<Tensor>, y: &mut Tensor) {
    let (rows, _) = op.dims(y.shape());
    let (widths, spans) = spans(op.widths);
    let (x, gain, y) = (op.paths.mat(), op.gain.mat(), y.mat());
    let n = vec_width(8, &widths, &[x, gain, y]);
    let args = [x.into(), gain.into(), maybe(op.gates).into(), spans, op.norm.into(), rows.into(), op.eps.into(), y.into()];
    b.run("mix", "mix_forward", Variant::Vec(n), LaunchDims::warps(rows), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Mix<Tensor>, dy: &Tensor, d: MixGrad<Tensor>) {
    let (rows, width) = op.dims(dy.shape());
    assert!(d.paths.shape().extents() == dy.shape().extents() && d.gain.shape().count() == width, "mix: gradients");
    assert_eq!(d.gates.as_ref().map(|g| g.shape().count()), op.gates.map(|g| g.shape().count()), "mix: gradient of the gates");
    b.reset_scratch();
    let (widths, spans) = spans(op.widths);
    let (x, gain, dy, dx) = (op.paths.mat(), op.gain.mat(), dy.mat(), d.paths.mat());
    let n = vec_width(8, &widths, &[x, gain, dy, dx]);
    let partials = Partials::over_rows(b, rows, width);
    let (gates, d_gates) = (maybe(op.gates), maybe(d.gates.as_deref()));
    let args = [
        x.into(),
        gain.into(),
        gates.into(),
        spans,
        op.norm.into(),
        rows.into(),
        width.into(),
        op.eps.into(),
        dy.into(),
        dx.into(),
        d_gates.into(),
        partials.address.into(),
    ];
    b.run("mix", "mix_backward", Variant::Vec(n), partials.launch_dims, &args);
    partials.add_to(b, 0, width, d.gain.mat());
}
