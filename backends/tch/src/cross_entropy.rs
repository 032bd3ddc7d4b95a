//! Logits and cross-entropy, a chunk of rows at a time.

use crate::{Indices, Tch, Tensor, replay::scalar_grads, value::Value};
use hh_core::ops::{CrossEntropy, CrossEntropyDims, CrossEntropyGrad, IGNORE};
use tch::Kind;

/// The targets of a chunk of rows.
struct Rows {
    /// `[n, 1]`: target ids, 0 for rows without a target.
    targets: Value,
    /// `[n, 1]`: 1 for rows with a target, else 0.
    scored: Value,
}

/// `−log(exp(u − nll) + exp(v))` of rows `(u, v)`, `[n, 2]`.
fn mixed(nll: &Value, mixture: &Value) -> Value {
    let own = mixture.columns(0, 1).minus(nll);
    own.with(&mixture.columns(1, 1), tch::Tensor::f_logaddexp).scaled(-1.0)
}

/// nll, logsumexp² and smooth of each row, `[n, 3]`.
fn losses(b: &Tch, rows: &Rows, x: &Value, table: &Value, mixture: Option<&Value>) -> Value {
    let logits = b.wide(&x.to(b.compute).linear(&table.to(b.compute), None));
    let log_sum = logits.log_sum_exp();
    let target = logits.with(&rows.targets, |logits, targets| logits.f_gather(1, targets, false));
    let [nll, smooth] = [target, logits.mean()].map(|at| log_sum.minus(&at));
    let nll = mixture.map_or(nll.clone(), |mixture| mixed(&nll, mixture));
    Value::cat(&[&nll, &log_sum.square(), &smooth], 1).times(&rows.scored)
}

pub(crate) fn forward(b: &mut Tch, op: CrossEntropy<Tensor, Indices>, scratch: &Tensor, to: &mut Tensor) {
    each(b, op, scratch, to, None);
}

pub(crate) fn backward(b: &mut Tch, op: CrossEntropy<Tensor, Indices>, scratch: &Tensor, to: &mut Tensor, d: CrossEntropyGrad<Tensor>) {
    d.check(&op);
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

    let mixture = op.mixture.map(|m| b.matrix(m));
    let (mut all, mut for_x, mut for_mixture) = (Vec::new(), Vec::new(), Vec::new());
    for start in (0..rows).step_by(chunk) {
        let part = |of: &Value| of.part(0, start, chunk.min(rows - start));
        let (x, rows) = (part(&x), Rows { targets: part(&targets), scored: part(&scored) });
        let mixture = mixture.as_ref().map(part);
        let Some(d) = &mut d else {
            all.push(losses(b, &rows, &x, &table, mixture.as_ref()));
            continue;
        };
        let mut seen = None;
        // Without a mixture its place is taken by one that changes nothing.
        let given = mixture.clone().unwrap_or_else(|| x.columns(0, 1));
        let [d_x, d_table, d_mixture] = scalar_grads([&x, &table, &given], |[x, table, given]| {
            let losses = losses(b, &rows, x, table, mixture.is_some().then_some(given));
            seen = Some(losses.map(tch::Tensor::f_detach));
            let unused = given.total().scaled(0.0);
            objective(&losses).plus(&unused)
        });
        if let Some(to) = &mut d.table {
            b.add(&d_table, to);
        }
        all.extend(seen);
        for_x.push(d_x);
        for_mixture.push(d_mixture);
    }
    b.put(&Value::cat(&all, 0), to);
    if let Some(CrossEntropyGrad { x, mixture, .. }) = d {
        for (to, parts) in [(x, for_x), (mixture, for_mixture)] {
            to.into_iter().for_each(|to| b.put(&Value::cat(&parts, 0), to));
        }
    }
}
