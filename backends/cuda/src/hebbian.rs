//! Classic Hopfield memory. Training looks up the items of a chunk, weighted by γ^age, and the state carried from earlier chunks
//! in two matrices per head; decoding uses the matrices only.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    lookup::{self, Lookup, Memory, Tiles},
    refine::{self, Carry, Refinement, RowPass, Saved},
    sums::Partials,
    tensor::{Mat, columns, columns_mut},
};
use hh_core::{
    ops::{Columns, ColumnsMut, Hebbian, HebbianGrad, HebbianState, MemoryDims},
    shape::Shaped,
};

/// The arguments of the kernels, with the carried matrices computed.
fn refinement(b: &mut Cuda, op: &Hebbian<Tensor>, dims: &MemoryDims, tiles: &Tiles) -> Refinement {
    let MemoryDims { batch, time, width, heads, .. } = *dims;
    let qpv = columns(&op.qpv);
    let items = b.take_compute(batch * time, 2 * width);
    let no_slots = Arg::group(&[Mat::NONE.into(), Mat::NONE.into(), 0usize.into()]);
    let args = [qpv.into(), no_slots, lookup::no_ring(), Mat::NONE.into(), lookup::heads(dims), op.successor.into(), items.into()];
    b.run("memory", "recall_gather", Variant::Plain, LaunchDims::warps(batch * time * heads), &args);
    let refinement = Refinement {
        qpv,
        memory: Memory { of: items, rows: time, pattern: 0, value: width },
        view: lookup::view(dims, None, op.successor),
        weights: refine::weights(b, op.depth, dims.depth),
        log_beta: op.log_beta.flat(),
        decay: op.decay.flat(),
        carry: Carry::new(b, dims),
        dims: *dims,
    };
    if refinement.carry.is_some() {
        tiles.run(b, Lookup { source: "hebbian", name: "hebbian_carry", dims, rows: dims.head_dim, tiles: [0, 2] }, &[refinement.arg()]);
    }
    refinement
}

pub(crate) fn forward(b: &mut Cuda, op: Hebbian<Tensor>, state: Option<HebbianState<Tensor>>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.matrices.shape()));
    let MemoryDims { batch, time, width, head_dim, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "hebbian: output of {} columns", y.width);
    let y = columns_mut(&y);
    let Some(tiles) = Tiles::new(b, head_dim, &[columns(&op.qpv), y]) else { return };
    b.reset_scratch();
    match state {
        Some(state) => step(b, op, &dims, state, y),
        None => {
            let refinement = refinement(b, &op, &dims, &tiles);
            let args = [refinement.arg(), 0u64.into(), Saved::NONE.arg(), y.into()];
            tiles.run(b, Lookup { source: "hebbian", name: "hebbian_forward", dims: &dims, rows: time, tiles: [1, 2] }, &args);
        }
    }
}

fn step(b: &mut Cuda, op: Hebbian<Tensor>, dims: &MemoryDims, state: HebbianState<Tensor>, y: Mat) {
    let MemoryDims { batch, time, width, heads, head_dim, depth, .. } = *dims;
    assert_eq!((state.last.shape().rows(), state.last.shape().width()), (batch, width), "hebbian: last pattern");
    let weights = refine::weights(b, op.depth, depth);
    let args = [
        columns(&op.qpv).into(),
        weights.into(),
        op.log_beta.flat().into(),
        op.decay.flat().into(),
        time.into(),
        head_dim.into(),
        depth.into(),
        op.successor.into(),
        state.matrices.mat().address.into(),
        state.last.mat().address.into(),
        y.into(),
    ];
    let launch_dims = LaunchDims { grid: [batch, heads, 1], threads: head_dim.next_multiple_of(32), shared: 0 };
    b.run("step", "hebbian_step", Variant::Plain, launch_dims, &args);
}

pub(crate) fn backward(b: &mut Cuda, op: Hebbian<Tensor>, dy: Columns<Tensor>, d: HebbianGrad<Tensor>) {
    let dims = op.dims(None);
    let MemoryDims { batch, time, width, heads, head_dim, depth, .. } = dims;
    assert!(dy.layout().0 == batch && dy.layout().1 == time && dy.width == width, "hebbian: gradient of {} columns", dy.width);
    assert!(d.qpv.layout().0 == batch && d.qpv.layout().1 == time && d.qpv.width == 3 * width, "hebbian: gradient of the input");
    assert!(d.depth.shape() == op.depth.shape(), "hebbian: gradient of depth");
    assert!(d.log_beta.shape().count() == heads && d.decay.shape().count() == heads, "hebbian: gradients of the parameters");
    let (dy, d_qpv) = (columns(&dy), columns_mut(&d.qpv));
    let Some(tiles) = Tiles::new(b, head_dim, &[columns(&op.qpv), dy, d_qpv]) else { return };
    b.reset_scratch();
    let refinement = refinement(b, &op, &dims, &tiles);
    // Nothing was saved: recompute the refinements.
    let kept =
        Saved { reads: b.take_full(batch * time, depth * width), moved: b.take_full(batch * time, depth * width), log_sum: Mat::NONE };
    let y = b.take_compute(batch * time, width);
    tiles.run(
        b,
        Lookup { source: "hebbian", name: "hebbian_forward", dims: &dims, rows: time, tiles: [1, 2] },
        &[refinement.arg(), 0u64.into(), kept.arg(), y.into()],
    );

    let row_pass = RowPass::new(b, &dims);
    let blocks = batch * Tiles::blocks(time);
    let scalars = Partials::at(b.take(4 * blocks * 2 * heads), blocks, 2 * heads);
    let args = [refinement.arg(), kept.arg(), dy.into(), row_pass.arg(), d_qpv.into(), scalars.address.into()];
    tiles.run(b, Lookup { source: "hebbian", name: "hebbian_rows", dims: &dims, rows: time, tiles: [3, 2] }, &args);
    scalars.add_to(b, 0, heads, d.log_beta.flat());
    scalars.add_to(b, heads, heads, d.decay.flat());

    let d_carry = Carry::new(b, &dims);
    let rows = batch * Tiles::blocks(head_dim);
    let [passing, handing] = [rows, blocks].map(|n| Partials::at(b.take(4 * n * heads), n, heads));
    if d_carry.is_some() {
        let args = [refinement.arg(), row_pass.arg(), d_carry.arg(), passing.address.into()];
        tiles.run(b, Lookup { source: "hebbian", name: "hebbian_carry_back", dims: &dims, rows: head_dim, tiles: [0, 3] }, &args);
    }
    let of_columns = Refinement { carry: d_carry, ..refinement };
    let args = [of_columns.arg(), kept.arg(), row_pass.arg(), op.successor.into(), d_qpv.into(), handing.address.into()];
    tiles.run(b, Lookup { source: "hebbian", name: "hebbian_columns", dims: &dims, rows: time, tiles: [2, 3] }, &args);
    if d_carry.is_some() {
        passing.add_to(b, 0, heads, d.decay.flat());
        handing.add_to(b, 0, heads, d.decay.flat());
    }
    of_columns.depth_grad(b, kept.reads, dy, d.depth);
}
