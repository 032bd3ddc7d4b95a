//! Heads side by side in columns, and softmax retrieval over them.

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

/// Each position's neighbour before it; `last` stands before the first, or zeros.
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

/// Which keys each query sees.
pub(crate) enum Sight {
    /// Those up to its own.
    Causal,
    /// `[T, keys]`: those where the mask is true; never none.
    Mask(Value),
}

/// `softmax(scale · q kᵀ) v` over what is seen, by torch's fused kernel where it has one for the shapes.
pub(crate) fn retrieve(q: &Value, k: &Value, v: &Value, sight: &Sight, scale: f64) -> Value {
    let attention = |t: &[&tch::Tensor], mask: Option<&tch::Tensor>| {
        tch::Tensor::f_scaled_dot_product_attention(t[0], t[1], t[2], mask, 0.0, mask.is_none(), scale, false)
    };
    match sight {
        Sight::Causal => Value::all(&[q, k, v], |t| attention(t, None)),
        Sight::Mask(mask) => Value::all(&[q, k, v, mask], |t| attention(t, Some(t[3]))),
    }
}

/// Packed columns in full precision.
pub(crate) fn wide(b: &Tch, packed: &Columns<Tensor>) -> Value {
    b.wide(&columns(packed))
}
