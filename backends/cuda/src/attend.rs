//! Causal attention.

use crate::{
    Cuda, Indices, Tensor,
    embed::clock,
    launch::{Arg, LaunchDims, Variant},
    lookup::{self, Lookup, Memory, Tiles},
    tensor::{columns, columns_mut},
};
use hh_core::{
    ops::{Attend, Columns, ColumnsMut, MemoryDims, Ring},
    shape::Shaped,
};

/// `1/√d`
fn scale(head_dim: usize) -> Arg {
    ((1.0 / (head_dim as f64).sqrt()) as f32).into()
}

pub(crate) fn forward(
    b: &mut Cuda,
    op: Attend<Tensor>,
    ring: Option<Ring<Tensor, Indices>>,
    saved: Option<&mut Tensor>,
    y: ColumnsMut<Tensor>,
) {
    let dims = op.dims(ring.as_ref().map(|r| r.items.shape()), saved.as_ref().map(|s| s.shape()));
    let MemoryDims { batch, time, width, head_dim, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "attend: output of {} columns", y.width);
    let (qkv, y) = (columns(&op.qkv), columns_mut(&y));
    let Some(tiles) = Tiles::new(b, head_dim, &[qkv, y]) else { return };
    b.reset_scratch();
    let kept = ring.as_ref().map(|ring| lookup::ring(&ring.items.mat(), ring.items.shape().extents()[1], ring.clock));
    let memory = match &kept {
        None => Memory { of: qkv, rows: time, pattern: width, value: 2 * width },
        Some(ring) => {
            let rows = ring.rows - 1 + time;
            let items = b.take_compute(batch * rows, 2 * width);
            let args = [qkv.into(), ring.arg, lookup::heads(&dims), items.into()];
            b.run("memory", "attend_gather", Variant::Plain, LaunchDims::threads(batch * rows * 2 * width, 256), &args);
            Memory { of: items, rows, pattern: 0, value: width }
        }
    };
    let view = lookup::view(&dims, kept.as_ref(), false);
    let clock = clock(ring.as_ref().map(|r| r.clock)).into();
    let args = [
        qkv.into(),
        memory.arg(),
        view,
        clock,
        time.into(),
        head_dim.into(),
        scale(head_dim),
        saved.map_or(0, |s| s.mat().address).into(),
        y.into(),
    ];
    tiles.run(b, Lookup { source: "attend", name: "attend_forward", dims: &dims, rows: time, tiles: [1, 2] }, &args);
    if let Some(ring) = kept {
        let rows = time.min(ring.rows);
        let args = [qkv.into(), ring.arg, lookup::heads(&dims)];
        b.run("memory", "attend_update_ring", Variant::Plain, LaunchDims::threads(batch * rows * 2 * width, 256), &args);
    }
}

pub(crate) fn backward(b: &mut Cuda, op: Attend<Tensor>, y: Columns<Tensor>, saved: &Tensor, dy: Columns<Tensor>, d: ColumnsMut<Tensor>) {
    let dims = op.dims(None, Some(saved.shape()));
    let MemoryDims { batch, time, width, heads, head_dim, .. } = dims;
    for (name, (of, t, _), columns, want) in [
        ("output", y.layout(), y.width, width),
        ("its gradient", dy.layout(), dy.width, width),
        ("gradient", d.layout(), d.width, 3 * width),
    ] {
        assert!((of, t, columns) == (batch, time, want), "attend: {name} of {columns} columns");
    }
    let (qkv, y, dy, d) = (columns(&op.qkv), columns(&y), columns(&dy), columns_mut(&d));
    let Some(tiles) = Tiles::new(b, head_dim, &[qkv, y, dy, d]) else { return };
    b.reset_scratch();
    let memory = Memory { of: qkv, rows: time, pattern: width, value: 2 * width }.arg();
    let view = lookup::view(&dims, None, false);
    let saved: Arg = saved.mat().address.into();
    let delta: Arg = b.take(4 * batch * time * heads).into();
    let (sizes, scale) = ([time, head_dim].map(Arg::from), scale(head_dim));
    let args = [qkv.into(), memory, view, sizes[0], sizes[1], scale, saved, y.into(), dy.into(), delta, d.into()];
    tiles.run(b, Lookup { source: "attend", name: "attend_rows", dims: &dims, rows: time, tiles: [2, 2] }, &args);
    let args = [qkv.into(), memory, view, sizes[0], sizes[1], scale, saved, delta, dy.into(), d.into()];
    tiles.run(b, Lookup { source: "attend", name: "attend_columns", dims: &dims, rows: time, tiles: [2, 2] }, &args);
}
