//! Modern Hopfield memory.

use crate::{
    Cuda, Indices, Tensor,
    embed::clock,
    launch::{Arg, LaunchDims, Variant},
    lookup::{self, Lookup, Memory, Tiles},
    refine::{self, Carry, Refinement, RowPass, Saved},
    sums::Partials,
    tensor::{Mat, columns, columns_mut},
};
use hh_core::{
    ops::{Columns, ColumnsMut, MemoryDims, Recall, RecallGrad, RecallSaved, RecallState},
    shape::Shaped,
};

/// `Slots` of memory.cu.
fn slots(op: &Recall<Tensor>, dims: &MemoryDims) -> Arg {
    let mats = op.slots.as_ref().map_or([Mat::NONE; 2], |s| [s.patterns.flat(), s.values.flat()]);
    Arg::group(&[mats[0].into(), mats[1].into(), dims.slots.into()])
}

/// The arguments of the kernels, with gathered items; `state` is the ring and last pattern of a decoding state.
fn refinement(b: &mut Cuda, op: &Recall<Tensor>, dims: &MemoryDims, state: Option<(&lookup::Ring, Mat)>) -> Refinement {
    let MemoryDims { batch, time, width, heads, slots: m, .. } = *dims;
    let (qpv, ring) = (columns(&op.qpv), state.map(|(ring, _)| ring));
    let rows = m + ring.map_or(0, |r| r.rows - 1) + time;
    let items = b.take_compute(batch * rows, 2 * width);
    let (ring_arg, last) = state.map_or((lookup::no_ring(), Mat::NONE), |(ring, last)| (ring.arg, last));
    let args = [qpv.into(), slots(op, dims), ring_arg, last.into(), lookup::heads(dims), op.successor.into(), items.into()];
    b.run("memory", "recall_gather", Variant::Plain, LaunchDims::warps(batch * rows * heads), &args);
    let memory = Memory { of: items, rows, pattern: 0, value: width };
    Refinement {
        qpv,
        memory,
        view: lookup::view(dims, ring, op.successor),
        weights: refine::weights(b, op.depth, dims.depth),
        log_beta: op.log_beta.flat(),
        decay: Mat::NONE,
        carry: Carry::NONE,
        dims: *dims,
    }
}

fn kept(saved: &RecallSaved<Tensor>) -> Saved {
    assert!(![&saved.reads, &saved.moved, &saved.log_sum].iter().any(|t| t.bf16), "recall: saved tensors must be f32");
    Saved { reads: saved.reads.mat(), moved: saved.moved.mat(), log_sum: saved.log_sum.mat() }
}

pub(crate) fn forward(
    b: &mut Cuda,
    op: Recall<Tensor>,
    state: Option<RecallState<Tensor, Indices>>,
    saved: Option<&mut RecallSaved<Tensor>>,
    y: ColumnsMut<Tensor>,
) {
    let dims = op.dims(state.as_ref().map(|s| s.ring.items.shape()));
    let MemoryDims { batch, time, width, heads, head_dim, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "recall: output of {} columns", y.width);
    let y = columns_mut(&y);
    let Some(tiles) = Tiles::new(b, head_dim, &[columns(&op.qpv), y]) else { return };
    b.reset_scratch();
    let ring = state.as_ref().map(|s| {
        assert_eq!((s.last.shape().rows(), s.last.shape().width()), (batch, width), "recall: last pattern");
        (lookup::ring(&s.ring.items.mat(), s.ring.items.shape().extents()[1], s.ring.clock), s.last.mat())
    });
    let refinement = refinement(b, &op, &dims, ring.as_ref().map(|(ring, last)| (ring, *last)));
    let saved = saved.map_or(Saved::NONE, |s| kept(s));
    let clock = clock(state.as_ref().map(|s| s.ring.clock)).into();
    let args = [refinement.arg(), clock, saved.arg(), y.into()];
    tiles.run(b, Lookup { source: "recall", name: "recall_forward", dims: &dims, rows: time, tiles: [1, 2] }, &args);
    if let Some((ring, last)) = ring {
        let qpv = refinement.qpv.into();
        let args = [qpv, ring.arg, last.into(), lookup::heads(&dims), op.successor.into()];
        b.run("memory", "recall_update_ring", Variant::Plain, LaunchDims::warps(batch * time.min(ring.rows) * heads), &args);
        b.run("memory", "recall_last", Variant::Plain, LaunchDims::warps(batch * heads), &[qpv, lookup::heads(&dims), last.into()]);
    }
}

pub(crate) fn backward(b: &mut Cuda, op: Recall<Tensor>, saved: &RecallSaved<Tensor>, dy: Columns<Tensor>, d: RecallGrad<Tensor>) {
    let dims = op.dims(None);
    let MemoryDims { batch, time, width, heads, head_dim, slots: m, .. } = dims;
    assert!(dy.layout().0 == batch && dy.layout().1 == time && dy.width == width, "recall: gradient of {} columns", dy.width);
    assert!(d.qpv.layout().0 == batch && d.qpv.layout().1 == time && d.qpv.width == 3 * width, "recall: gradient of the input");
    assert!(d.depth.shape() == op.depth.shape() && d.log_beta.shape().count() == heads, "recall: gradients");
    assert_eq!(d.slots.is_some(), op.slots.is_some(), "recall: gradient of the slots");
    let (saved, dy, d_qpv) = (kept(saved), columns(&dy), columns_mut(&d.qpv));
    let Some(tiles) = Tiles::new(b, head_dim, &[columns(&op.qpv), dy, d_qpv]) else { return };
    b.reset_scratch();
    let refinement = refinement(b, &op, &dims, None);
    let row_pass = RowPass::new(b, &dims);
    let blocks = batch * Tiles::blocks(time);
    let scalars = Partials::at(b.take(4 * blocks * 2 * heads), blocks, 2 * heads);
    let args = [refinement.arg(), saved.arg(), dy.into(), row_pass.arg(), d_qpv.into(), scalars.address.into()];
    tiles.run(b, Lookup { source: "recall", name: "recall_rows", dims: &dims, rows: time, tiles: [3, 2] }, &args);
    scalars.add_to(b, 0, heads, d.log_beta.flat());

    let partial: Arg = b.take(4 * batch * heads * m * 2 * head_dim).into();
    let args = [refinement.arg(), saved.arg(), row_pass.arg(), op.successor.into(), d_qpv.into(), partial];
    tiles.run(b, Lookup { source: "recall", name: "recall_columns", dims: &dims, rows: m + time, tiles: [2, 3] }, &args);
    if let Some(d) = d.slots {
        let args = [slots(&op, &dims), lookup::heads(&dims), partial, d.patterns.flat().into(), d.values.flat().into()];
        b.run("memory", "recall_slots", Variant::Plain, LaunchDims::warps(heads * m), &args);
    }
    refinement.depth_grad(b, saved.reads, dy, d.depth);
}
