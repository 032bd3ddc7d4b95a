//! Logits and cross-entropy, a chunk of rows at a time.

use crate::{Indices, Tch, Tensor, replay::scalar_grads, value::Value};
use hh_core::{
    ops::{CrossEntropy, CrossEntropyDims, CrossEntropyGrad, IGNORE},
    shape::Shaped,
};
use tch::Kind;

/// The targets of a chunk of rows.
struct Rows {
    /// `[n, 1]`: target ids, 0 for rows without a target.
    targets: Value,
    /// `[n, 1]`: 1 for rows with a target, else 0.
    scored: Value,
}

/// nll, logsumexp² and smooth of each row, `[n, 3]`.
fn losses(b: &Tch, rows: &Rows, x: &Value, table: &Value) -> Value {
    let logits = b.wide(&x.to(b.compute).linear(&table.to(b.compute), None));
    let log_sum = logits.log_sum_exp();
    let target = logits.with(&rows.targets, |logits, targets| logits.f_gather(1, targets, false));
    let [nll, smooth] = [target, logits.mean()].map(|at| log_sum.minus(&at));
    Value::cat(&[&nll, &log_sum.square(), &smooth], 1).times(&rows.scored)
}

pub(crate) fn forward(b: &mut Tch, op: CrossEntropy<Tensor, Indices>, scratch: &Tensor, to: &mut Tensor) {
    each(b, op, scratch, to, None);
}

pub(crate) fn backward(b: &mut Tch, op: CrossEntropy<Tensor, Indices>, scratch: &Tensor, to: &mut Tensor, d: CrossEntropyGrad<Tensor>) {
    assert!(d.x.shape().extents() == op.x.shape().extents() && d.table.shape() == op.table.shape(), "cross_entropy: gradients");
    each(b, op, scratch, to, Some(d));
}

fn each(b: &mut Tch, op: CrossEntropy<Tensor, Indices>, scratch: &Tensor, to: &mut Tensor, mut d: Option<CrossEntropyGrad<Tensor>>) {
    let CrossEntropyDims { rows, width, chunk, .. } = op.dims(scratch.shape, to.shape);
    let (x, table, targets) = (op.x.value().rows(width), op.table.matrix(), op.targets.vector().unsqueezed(1));
    let scored = targets.map(|t| t.f_ne(i64::from(IGNORE)));
    let targets = targets.with(&scored, tch::Tensor::f_mul);
    let count = scored.map(|s| s.f_sum(Kind::Int64)?.f_clamp_min(1)).to(b.full);
    let scored = scored.to(b.full);
    let [smoothing, z_weight, scale] = [op.smoothing, op.z_weight, op.scale].map(f64::from);
    let objective = |losses: &Value| {
        let column = |i: usize, weight: f64| losses.columns(i, 1).total().scaled(weight * scale);
        column(0, 1.0 - smoothing).plus(&column(1, z_weight)).plus(&column(2, smoothing)).over(&count)
    };

    let mut found = Vec::new();
    for start in (0..rows).step_by(chunk) {
        let part = |of: &Value| of.part(0, start, chunk.min(rows - start));
        let (x, rows) = (part(&x), Rows { targets: part(&targets), scored: part(&scored) });
        let Some(d) = &mut d else {
            found.push((losses(b, &rows, &x, &table), None));
            continue;
        };
        let mut seen = None;
        let [d_x, d_table] = scalar_grads([&x, &table], |[x, table]| {
            let losses = losses(b, &rows, x, table);
            seen = Some(losses.map(tch::Tensor::f_detach));
            objective(&losses)
        });
        b.add(&d_table, d.table);
        found.extend(seen.map(|losses| (losses, Some(d_x))));
    }
    let (losses, d_x): (Vec<Value>, Vec<Option<Value>>) = found.into_iter().unzip();
    b.put(&Value::cat(&losses, 0), to);
    if let (Some(d), Some(d_x)) = (d, d_x.into_iter().collect::<Option<Vec<_>>>()) {
        b.put(&Value::cat(&d_x, 0), d.x);
    }
}
