//! Logits and cross-entropy, a chunk of rows at a time.

use crate::{
    Cuda, Indices, Tensor,
    launch::{Arg, LaunchDims, Product, Variant},
    matmul::{accumulate, operand},
    tensor::{Mat, aligned, maybe, vec_width},
};
use hh_core::{
    ops::{CrossEntropy, CrossEntropyDims, CrossEntropyGrad},
    shape::Shaped,
};

pub(crate) fn forward(b: &mut Cuda, op: CrossEntropy<Tensor, Indices>, scratch: &mut Tensor, losses: &mut Tensor) {
    chunks(b, op, scratch, losses, None);
}

pub(crate) fn backward(
    b: &mut Cuda,
    op: CrossEntropy<Tensor, Indices>,
    scratch: &mut Tensor,
    losses: &mut Tensor,
    d: CrossEntropyGrad<Tensor>,
) {
    d.check(&op);
    chunks(b, op, scratch, losses, Some(d));
}

/// Bytes of the logits in memory at a time: in bf16, 5,300 rows of GPT-2's vocabulary.
const LOGIT_BYTES: usize = 512 << 20;
/// Rows of a tile of a matrix product.
const TILE: usize = 128;

/// As many rows as [`LOGIT_BYTES`] hold, in chunks of about equal size that fill tiles of matrix products.
pub(crate) fn logit_rows(b: &Cuda, rows: usize, vocab: usize) -> usize {
    let most = (LOGIT_BYTES / (aligned(vocab) * if b.bf16() { 2 } else { 4 })).clamp(1, rows);
    let equal = rows.div_ceil(rows.div_ceil(most));
    equal.next_multiple_of(TILE).min(most)
}

/// With gradients, the logits are stored in `scratch` in its precision; their gradient overwrites them or, if matrix products use
/// another precision, is written to separate scratch memory. For losses alone the logits are f32, in the same memory.
fn chunks(b: &mut Cuda, op: CrossEntropy<Tensor, Indices>, scratch: &mut Tensor, losses: &mut Tensor, d: Option<CrossEntropyGrad<Tensor>>) {
    let CrossEntropyDims { rows, width, vocab, mut chunk } = op.dims(scratch.shape(), losses.shape());
    b.reset_scratch();
    // Logits beyond the vocabulary are products with zero rows of the table, and their gradients are zeros.
    let padded = scratch.stride > vocab
        && op.table.has_aligned_rows()
        && d.as_ref().and_then(|d| d.table.as_ref()).is_none_or(|d| d.has_aligned_rows());
    let columns = if padded { scratch.stride } else { vocab };
    let (x, table) = (operand(b, op.x.mat(), rows, width), operand(b, op.table.for_products(), columns, width));
    let (mut logits, losses) = (scratch.mat(), losses.mat());
    if d.is_none() && logits.bf16 && chunk > 1 {
        (logits.bf16, chunk) = (false, chunk / 2);
    }
    let d_logits = match &d {
        Some(_) if logits.bf16 == b.bf16() => logits,
        Some(_) => {
            let stride = aligned(vocab);
            Mat { stride, ..b.take_compute(chunk.min(rows), stride) }
        }
        None => Mat::NONE,
    };
    let (inverse_count, targets) = (b.take(4), op.targets.address());
    let one = LaunchDims { grid: [1, 1, 1], threads: 256, shared: 0 };
    b.run("cross_entropy", "cross_entropy_inverse_count", Variant::Vec(1), one, &[targets.into(), rows.into(), inverse_count.into()]);
    let weights = Arg::group(&[1.0 - op.smoothing, op.smoothing, op.z_weight, op.scale].map(Into::into));
    let mixture = maybe(op.mixture);
    let d_mixture = maybe(d.as_ref().and_then(|d| d.mixture.as_deref()));
    let n = vec_width(8, &[], &[logits, d_logits]);
    for start in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - start);
        let x = x.rows_from(start);
        let product = Product {
            rows: count,
            columns,
            inner: width,
            a: x,
            transpose_a: false,
            b: table,
            transpose_b: true,
            bias: None,
            add: None,
            to: logits,
        };
        b.product(&product);
        let args = [
            logits.into(),
            targets.into(),
            mixture.into(),
            start.into(),
            vocab.into(),
            inverse_count.into(),
            weights,
            d_logits.into(),
            d_mixture.into(),
            losses.into(),
        ];
        b.run("cross_entropy", "cross_entropy_rows", Variant::Vec(n), LaunchDims { grid: [count, 1, 1], threads: 256, shared: 0 }, &args);
        if let Some(dx) = d.as_ref().and_then(|d| d.x.as_ref()) {
            let to = dx.mat().rows_from(start);
            b.product(&Product { columns: width, inner: columns, a: d_logits, transpose_b: false, to, ..product });
        }
        if let Some(table) = d.as_ref().and_then(|d| d.table.as_ref()) {
            accumulate(b, d_logits, x, [count, columns, width], table.mat());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compute;

    #[test]
    fn a_chunk_of_gpt_2s_vocabulary_has_thousands_of_rows() {
        for (compute, vocab, wanted) in
            [(Compute::Bf16, 50_257, 4096), (Compute::F32, 50_257, 2432), (Compute::Bf16, 267_735, 1002), (Compute::Bf16, 65, 16_384)]
        {
            let rows = logit_rows(&Cuda::planned(compute), 16_384, vocab);
            assert_eq!(rows, wanted, "{compute:?}, {vocab} ids");
        }
        assert_eq!(logit_rows(&Cuda::planned(Compute::Bf16), 3, 50_257), 3);
        assert_eq!(logit_rows(&Cuda::planned(Compute::Bf16), 3, usize::MAX >> 8), 1);
    }
}
