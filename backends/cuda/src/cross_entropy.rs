//! Logits and cross-entropy, a chunk of rows at a time.

use crate::{
    Cuda, Indices, Tensor,
    launch::{Arg, LaunchDims, Product, Variant},
    matmul::{accumulate, operand},
    tensor::{Mat, vec_width},
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
    assert!(d.x.shape().extents() == op.x.shape().extents() && d.table.shape() == op.table.shape(), "cross_entropy: gradients");
    chunks(b, op, scratch, losses, Some(d));
}

/// The logits are stored in `scratch` in its precision. Their gradient overwrites them or, if matrix products use another
/// precision, is written to separate scratch memory.
fn chunks(b: &mut Cuda, op: CrossEntropy<Tensor, Indices>, scratch: &mut Tensor, losses: &mut Tensor, d: Option<CrossEntropyGrad<Tensor>>) {
    let CrossEntropyDims { rows, width, vocab, chunk } = op.dims(scratch.shape(), losses.shape());
    b.reset_scratch();
    let (x, table) = (operand(b, op.x.mat(), rows, width), operand(b, op.table.for_products(), vocab, width));
    let (logits, losses) = (scratch.mat(), losses.mat());
    let d_logits = match &d {
        Some(_) if logits.bf16 == b.bf16() => logits,
        Some(_) => b.take_compute(chunk.min(rows), vocab),
        None => Mat::NONE,
    };
    let (inverse_count, targets) = (b.take(4), op.targets.address());
    let one = LaunchDims { grid: [1, 1, 1], threads: 256, shared: 0 };
    b.run("cross_entropy", "cross_entropy_inverse_count", Variant::Vec(1), one, &[targets.into(), rows.into(), inverse_count.into()]);
    let weights = Arg::group(&[1.0 - op.smoothing, op.smoothing, op.z_weight, op.scale].map(Into::into));
    let n = vec_width(8, &[vocab], &[logits, d_logits]);
    for start in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - start);
        let x = x.rows_from(start);
        let product = Product {
            rows: count,
            columns: vocab,
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
        let args =
            [logits.into(), targets.into(), start.into(), vocab.into(), inverse_count.into(), weights, d_logits.into(), losses.into()];
        b.run("cross_entropy", "cross_entropy_rows", Variant::Vec(n), LaunchDims { grid: [count, 1, 1], threads: 256, shared: 0 }, &args);
        if let Some(d) = &d {
            let to = d.x.mat().rows_from(start);
            b.product(&Product { columns: width, inner: vocab, a: d_logits, transpose_b: false, to, ..product });
            accumulate(b, d_logits, x, [count, vocab, width], d.table.mat());
        }
    }
}
