//! Token and position embeddings, the last position, and the weighted average over positions.

use crate::{
    Cuda, Indices, Tensor,
    launch::{LaunchDims, Variant},
    tensor::vec_width,
};
use hh_core::{
    ops::{Average, Embed, EmbedDims, Positions},
    shape::Shaped,
};

pub(crate) fn forward(b: &mut Cuda, op: Embed<Tensor, Indices>, y: &mut Tensor) {
    let EmbedDims { rows, width } = op.dims(y.shape());
    let (table, y) = (op.table.mat(), y.mat());
    let n = vec_width(8, &[width], &[table, y]);
    let args = [op.tokens.address().into(), table.into(), rows.into(), width.into(), y.into()];
    b.run("embed", "embed_forward", Variant::Vec(n), LaunchDims::threads(rows * width / n, 256), &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Embed<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
    let EmbedDims { rows, width } = op.dims(dy.shape());
    assert_eq!(d_table.shape(), op.table.shape(), "embed: gradient of the table");
    let args = [op.tokens.address().into(), dy.mat().into(), rows.into(), width.into(), d_table.mat().into()];
    b.run("embed", "embed_backward", Variant::Vec(1), LaunchDims { grid: [rows, 1, 1], threads: 128, shared: 0 }, &args);
}

/// Address of a clock, or 0.
pub(crate) fn clock(of: Option<&Indices>) -> u64 {
    of.map_or(0, Indices::address)
}

pub(crate) fn positions(b: &mut Cuda, op: Positions<Tensor, Indices>, y: &mut Tensor) {
    let [batch, time, width] = op.dims(y.shape());
    let (table, y) = (op.table.mat(), y.mat());
    let n = vec_width(8, &[width], &[table, y]);
    let args = [table.into(), clock(op.clock).into(), (batch * time).into(), time.into(), width.into(), y.into()];
    b.run("embed", "positions_forward", Variant::Vec(n), LaunchDims::threads(batch * time * width / n, 256), &args);
}

pub(crate) fn positions_grad(b: &mut Cuda, op: Positions<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
    let [batch, time, width] = op.dims(dy.shape());
    assert_eq!(d_table.shape(), op.table.shape(), "positions: gradient of the table");
    let (dy, d_table) = (dy.mat(), d_table.mat());
    let n = vec_width(8, &[width], &[dy, d_table]);
    let args = [dy.into(), clock(op.clock).into(), batch.into(), time.into(), width.into(), d_table.into()];
    b.run("embed", "positions_backward", Variant::Vec(n), LaunchDims::threads(time * width / n, 256), &args);
}

pub(crate) fn last(b: &mut Cuda, x: &Tensor, y: &mut Tensor) {
    let [batch, time, width] = x.shape().extents();
    assert_eq!(y.shape().extents(), [batch, 1, width], "last: {} into {}", x.shape(), y.shape());
    let (x, y) = (x.mat(), y.mat());
    let n = vec_width(8, &[width], &[x, y]);
    let args = [x.into(), batch.into(), time.into(), width.into(), y.into()];
    b.run("embed", "last_forward", Variant::Vec(n), LaunchDims::threads(batch * width / n, 256), &args);
}

pub(crate) fn average(b: &mut Cuda, op: Average<Tensor>, y: &mut Tensor) {
    let [batch, time, width] = op.dims(y.shape());
    let (x, weights, y) = (op.x.mat(), op.weights.mat(), y.mat());
    let n = vec_width(8, &[width], &[x, y]);
    let args = [x.into(), weights.into(), batch.into(), time.into(), width.into(), op.first.into(), y.into()];
    b.run("embed", "average_forward", Variant::Vec(n), LaunchDims::threads(batch * width / n, 256), &args);
}

pub(crate) fn average_grad(b: &mut Cuda, op: Average<Tensor>, dy: &Tensor, dx: &mut Tensor) {
    let [batch, time, width] = op.dims(dy.shape());
    assert!(dx.shape().extents() == [batch, time, width], "average: gradient {}", dx.shape());
    let (weights, dy, dx) = (op.weights.mat(), dy.mat(), dx.mat());
    let n = vec_width(8, &[width], &[dy, dx]);
    let args = [weights.into(), dy.into(), (batch * time).into(), time.into(), width.into(), op.first.into(), dx.into()];
    b.run("embed", "average_backward", Variant::Vec(n), LaunchDims::threads(batch * time * width / n, 256), &args);
}
