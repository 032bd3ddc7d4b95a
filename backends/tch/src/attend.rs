//! Causal attention.

use crate::{
    Indices, Tch, Tensor,
    heads::{AttnMask, join, parts, retrieve, split},
    replay::replay,
    ring::{Past, mask, update_ring},
    tensor::columns,
    value::Value,
};
use hh_core::{
    ops::{Attend, Columns, ColumnsMut, MemoryDims, Ring},
    shape::Shaped,
};

/// `past`: keys and values before the chunk, `[B, N, 2w]`.
fn formula(dims: &MemoryDims, mask: &AttnMask, past: Option<&Value>, qkv: &Value) -> Value {
    let [q, mut k, mut v] = parts(qkv, dims);
    if let Some(past) = past {
        k = Value::cat(&[&past.columns(0, dims.width), &k], 1);
        v = Value::cat(&[&past.columns(dims.width, dims.width), &v], 1);
    }
    let [q, k, v] = [q, k, v].map(|x| split(&x, dims));
    join(&retrieve(&q, &k, &v, mask, 1.0 / (dims.head_dim as f64).sqrt()))
}

pub(crate) fn forward(
    b: &mut Tch,
    op: Attend<Tensor>,
    ring: Option<Ring<Tensor, Indices>>,
    saved: Option<&mut Tensor>,
    y: ColumnsMut<Tensor>,
) {
    let dims = op.dims(ring.as_ref().map(|r| r.items.shape()), saved.map(|s| s.shape()));
    let qkv = columns(&op.qkv).to(b.compute);
    let past = ring.as_ref().map(|ring| Past { clock: ring.clock, rows: ring.items.shape().extents()[1] });
    let before = ring.as_ref().map(|ring| ring.items.value().to(b.compute));
    let mask = mask(b, &dims, past.as_ref(), 0);
    b.put_columns(&formula(&dims, &mask, before.as_ref(), &qkv), y);
    if let (Some(past), Some(ring)) = (past, &ring) {
        update_ring(b, &dims, &past, &qkv.columns(dims.width, 2 * dims.width), &ring.items.value());
    }
}

pub(crate) fn backward(b: &mut Tch, op: Attend<Tensor>, dy: Columns<Tensor>, d: ColumnsMut<Tensor>) {
    let dims = op.dims(None, None);
    let mask = mask(b, &dims, None, 0);
    let [d_qkv] = replay([&columns(&op.qkv).to(b.compute)], &columns(&dy), |[qkv]| formula(&dims, &mask, None, qkv));
    b.put_columns(&d_qkv, d);
}
