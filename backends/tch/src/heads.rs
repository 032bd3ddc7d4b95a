//! Heads packed in columns, and softmax retrieval.

use crate::tensor::Tensor;
use crate::{Tch, tensor::columns, value::Value};
use hh_core::ops::{Columns, MemoryDims};

/// `[B, T, H·d]` as `[B, H, T, d]`.
pub(crate) fn split(x: &Value, dims: &MemoryDims) -> Value {
    let (heads, d) = (dims.heads as i64, dims.head_dim as i64);
    x.map(|x| x.f_unflatten(-1, [heads, d])?.f_transpose(1, 2))
}

/// `[B, H, T, d]` as `[B, T, H·d]`.
pub(crate) fn join(x: &Value) -> Value {
    x.map(|x| x.f_transpose(1, 2)?.f_flatten(2, 3))
}

/// The three packed parts `[B, T, w]` each.
pub(crate) fn parts(packed: &Value, dims: &MemoryDims) -> [Value; 3] {
    [0, 1, 2].map(|i| packed.columns(i * dims.width, dims.width))
}

/// Unit vectors of each head, `[B, T, w]`.
pub(crate) fn units(x: &Value, dims: &MemoryDims) -> Value {
    let (heads, d) = (dims.heads as i64, dims.head_dim as i64);
    x.map(|x| x.f_unflatten(-1, [heads, d])).unit().map(|x| x.f_flatten(2, 3))
}

/// Shifts by one position in time; the first row is `last`, or zeros.
pub(crate) fn shifted(x: &Value, last: Option<&Value>, time: usize) -> Value {
    let kept = x.part(1, 0, time - 1);
    match last {
        Some(last) => Value::cat(&[&last.unsqueezed(1), &kept], 1),
        None => kept.padded(1, 0),
    }
}

/// `Σ_k softmax(depth)_k reads_k`, `[B, H, T, d]` each.
pub(crate) fn mixture(depth: &Value, reads: &[Value]) -> Value {
    let weights = depth.softmax().unsqueezed(1);
    let weight = |k: usize| weights.columns(k, 1);
    let first = reads[0].times(&weight(0));
    reads.iter().enumerate().skip(1).fold(first, |sum, (k, read)| sum.plus_product(read, &weight(k)))
}

/// The attention mask.
pub(crate) enum AttnMask {
    /// Each query sees the keys up to its own position.
    Causal,
    /// `[T, keys]`: true for visible keys; at least one per query.
    Mask(Value),
}

/// `softmax(scale · q kᵀ) v` over visible keys, by torch's fused kernel if it supports the shapes.
pub(crate) fn retrieve(q: &Value, k: &Value, v: &Value, mask: &AttnMask, scale: f64) -> Value {
    let attention = |t: &[&tch::Tensor], mask: Option<&tch::Tensor>| {
        tch::Tensor::f_scaled_dot_product_attention(t[0], t[1], t[2], mask, 0.0, mask.is_none(), scale, false)
    };
    match mask {
        AttnMask::Causal => Value::all(&[q, k, v], |t| attention(t, None)),
        AttnMask::Mask(mask) => Value::all(&[q, k, v, mask], |t| attention(t, Some(t[3]))),
    }
}

/// Packed columns in full precision.
pub(crate) fn wide(b: &Tch, packed: &Columns<Tensor>) -> Value {
    b.wide(&columns(packed))
}
