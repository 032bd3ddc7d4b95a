//! Logits and cross-entropy, one chunk of rows at a time; rows without a target are skipped.

use crate::{
    Cpu, Float, Indices, Tensor,
    episodic::log_add_exp,
    matmul::{factor::Matrix, gemm::gemm, product, write::Write},
    reduce::{largest, sum},
    scratch::scratch,
    threads::Shared,
};
use core::mem::take;
use hh_core::{
    ops::{CrossEntropy, CrossEntropyDims, CrossEntropyGrad, IGNORE},
    shape::Shaped,
};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: CrossEntropy<Tensor<F>, Indices>, logits: &mut Tensor<F>, losses: &mut Tensor<F>) {
    chunks(cpu, op, logits, losses, None);
}

pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: CrossEntropy<Tensor<F>, Indices>,
    logits: &mut Tensor<F>,
    losses: &mut Tensor<F>,
    d: CrossEntropyGrad<Tensor<F>>,
) {
    d.check(&op);
    chunks(cpu, op, logits, losses, Some(d));
}

fn chunks<F: Float>(
    cpu: &mut Cpu<F>,
    op: CrossEntropy<Tensor<F>, Indices>,
    logits: &mut Tensor<F>,
    losses: &mut Tensor<F>,
    mut d: Option<CrossEntropyGrad<Tensor<F>>>,
) {
    let CrossEntropyDims { rows, width, vocab, chunk } = op.dims(logits.shape(), losses.shape());
    let targets = op.targets.data();
    let total_scored = targets.iter().filter(|&&t| t != IGNORE).count();
    let weights = LossWeights {
        nll: F::of_f32(1.0 - op.smoothing),
        smooth: F::of_f32(op.smoothing),
        z: F::of_f32(op.z_weight),
        scale: F::of(op.scale as f64 / total_scored.max(1) as f64),
    };
    let mut gathered = take(&mut cpu.gathered);
    let mut start = 0;
    while start < rows {
        let Span { end, scored } = Span::new(targets, start, chunk);
        // Rows without a target are skipped: the others are gathered while the chunk is computed.
        let (all, targets) = (scored == end - start, &targets[start..end]);
        let x = &op.x.data()[start * width..end * width];
        let x = if all { x } else { gather(targets, x, width, scratch(&mut gathered, scored * width)) };
        let logits = &mut logits.data_mut()[..scored * vocab];
        let losses = &mut losses.data_mut()[3 * start..3 * end];
        if !all {
            losses.fill(F::ZERO);
        }
        if scored > 0 {
            product(cpu, x, op.table, [scored, width, vocab], Write::Set { bias: None, add: None }, logits);
        }
        let (weights, mixture) = (d.is_some().then_some(&weights), op.mixture.map(|m| &m.data()[2 * start..]));
        let d_mixture = d.as_mut().and_then(|d| d.mixture.as_mut()).map(|d| {
            let part = &mut d.data_mut()[2 * start..2 * end];
            part.fill(F::ZERO);
            Shared::new(part)
        });
        let (level, shared, losses) = (cpu.level, Shared::new(logits), Shared::new(losses));
        cpu.threads.rows(scored, vocab, |run| {
            let at = scored_rows(targets).skip(run.start);
            F::vectorise(
                level,
                #[inline(always)]
                || {
                    for (row, at) in run.zip(at) {
                        // SAFETY: each row belongs to one task.
                        let (logits, losses) = unsafe { (shared.slice(row * vocab, vocab), losses.slice(3 * at, 3)) };
                        let mixture = mixture.map(|m| [m[2 * at], m[2 * at + 1]]);
                        let d_mixture = d_mixture.as_ref().map(|d| unsafe { d.slice(2 * at, 2) });
                        losses.copy_from_slice(&score(logits, targets[at] as usize, weights, mixture, d_mixture));
                    }
                },
            );
        });
        if let Some(d) = &mut d {
            let (logits, x) = (Matrix::new(logits, [scored, vocab]), Matrix::new(x, [scored, width]));
            if let Some(dx) = &mut d.x {
                let dx = &mut dx.data_mut()[start * width..end * width];
                if scored > 0 {
                    let table = Matrix::new(op.table.data(), [vocab, width]);
                    gemm(cpu, logits, table, Write::Set { bias: None, add: None }, &mut dx[..scored * width]);
                }
                if !all {
                    spread(targets, width, scored, dx);
                }
            }
            if let (Some(table), true) = (&mut d.table, scored > 0) {
                gemm(cpu, logits.transposed(), x, Write::Add, table.data_mut());
            }
        }
        start = end;
    }
    cpu.gathered = gathered;
}

/// The rows of one chunk.
struct Span {
    /// The row after the last.
    end: usize,
    /// How many of them are scored.
    scored: usize,
}

impl Span {
    /// The rows from `start` on up to at most `most` scored ones, and the rows without a target that follow them.
    fn new(targets: &[u32], start: usize, most: usize) -> Self {
        let mut scored_rows = targets.iter().enumerate().skip(start).filter(|&(_, &target)| target != IGNORE);
        let scored = scored_rows.by_ref().take(most).count();
        Self { end: scored_rows.next().map_or(targets.len(), |(row, _)| row), scored }
    }
}

/// Indices of the rows that have a target.
fn scored_rows(targets: &[u32]) -> impl Iterator<Item = usize> {
    targets.iter().enumerate().filter(|&(_, &target)| target != IGNORE).map(|(row, _)| row)
}

/// Copies the scored rows of `x` to contiguous memory.
fn gather<'a, F: Float>(targets: &[u32], x: &[F], width: usize, into: &'a mut [F]) -> &'a [F] {
    for (row, to) in scored_rows(targets).zip(into.chunks_exact_mut(width)) {
        to.copy_from_slice(&x[row * width..][..width]);
    }
    into
}

/// The inverse of [`gather`], in place; rows without a target become zeros. Runs from the last row to the first, so that no
/// row is overwritten before it was moved.
fn spread<F: Float>(targets: &[u32], width: usize, scored: usize, rows: &mut [F]) {
    let mut from = scored;
    for (to, &target) in targets.iter().enumerate().rev() {
        if target == IGNORE {
            rows[to * width..][..width].fill(F::ZERO);
        } else {
            from -= 1;
            rows.copy_within(from * width..(from + 1) * width, to * width);
        }
    }
}

/// Weights of the three losses in the objective.
struct LossWeights<F> {
    nll: F,
    smooth: F,
    z: F,
    scale: F,
}

/// `[nll, z, smooth]` of one row. With `weights` the logits are overwritten by their gradient, and `d_mixture` by the mixture's.
#[inline(always)]
fn score<F: Float>(
    logits: &mut [F],
    target: usize,
    weights: Option<&LossWeights<F>>,
    mixture: Option<[F; 2]>,
    d_mixture: Option<&mut [F]>,
) -> [F; 3] {
    let vocab = F::of(logits.len() as f64);
    let (top, at_target, mean) = (largest(logits), logits[target], sum(logits, |l| l) / vocab);
    let lse = top + sum(logits, |l| (l - top).exp()).ln();
    // The part of the target's probability that comes from the model, and the nll.
    let (own, nll) = match mixture {
        None => (F::ONE, lse - at_target),
        Some([keep, used]) => {
            let (own, nll) = (keep - (lse - at_target), -log_add_exp(keep - (lse - at_target), used));
            ((own + nll).exp(), nll)
        }
    };
    if let Some(s) = weights {
        if let Some(d) = d_mixture {
            d.copy_from_slice(&[-s.scale * s.nll * own, -s.scale * s.nll * (F::ONE - own)]);
        }
        let (softmax_weight, uniform) = (s.scale * (s.nll * own + s.smooth + (s.z + s.z) * lse), s.scale * s.smooth / vocab);
        for l in logits.iter_mut() {
            *l = softmax_weight * (*l - lse).exp() - uniform;
        }
        logits[target] -= s.scale * s.nll * own;
    }
    [nll, lse * lse, lse - mean]
}
