//! Logits and cross-entropy, a chunk of rows at a time.

use crate::{
    Cpu, Float, Indices, Tensor,
    matmul::{
        gemm::{Matrix, Write, gemm},
        product,
    },
    reduce::{largest, sum},
    threads::Shared,
};
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
    assert!(d.x.shape().extents() == op.x.shape().extents() && d.table.shape() == op.table.shape(), "cross_entropy: gradients");
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
    let scored = targets.iter().filter(|&&t| t != IGNORE).count();
    let slope = Slope {
        nll: F::of_f32(1.0 - op.smoothing),
        smooth: F::of_f32(op.smoothing),
        z: F::of_f32(op.z_weight),
        scale: F::of(op.scale as f64 / scored.max(1) as f64),
    };
    for start in (0..rows).step_by(chunk.max(1)) {
        let count = chunk.min(rows - start);
        let x = &op.x.data()[start * width..][..count * width];
        let logits = &mut logits.data_mut()[..count * vocab];
        product(cpu, x, op.table, [count, width, vocab], Write::Set { bias: None, add: None }, logits);

        let (level, shared) = (cpu.level, Shared::new(logits));
        let losses = Shared::new(&mut losses.data_mut()[3 * start..][..3 * count]);
        cpu.threads.rows(count, vocab, |run| {
            F::vectorise(
                level,
                #[inline(always)]
                || {
                    for row in run {
                        // SAFETY: each row is one task's.
                        let (logits, losses) = unsafe { (shared.slice(row * vocab, vocab), losses.slice(3 * row, 3)) };
                        losses.copy_from_slice(&score(logits, targets[start + row], d.is_some().then_some(&slope)));
                    }
                },
            );
        });
        if let Some(d) = &mut d {
            let (logits, x) = (Matrix::new(logits, [count, vocab]), Matrix::new(x, [count, width]));
            let dx = &mut d.x.data_mut()[start * width..][..count * width];
            gemm(cpu, logits, Matrix::new(op.table.data(), [vocab, width]), Write::Set { bias: None, add: None }, dx);
            gemm(cpu, logits.transposed(), x, Write::Add, d.table.data_mut());
        }
    }
}

/// Weights of the three losses in what is differentiated.
struct Slope<F> {
    nll: F,
    smooth: F,
    z: F,
    scale: F,
}

/// `[nll, z, smooth]` of one row. With a slope the logits become their own gradient.
#[inline(always)]
fn score<F: Float>(logits: &mut [F], target: u32, slope: Option<&Slope<F>>) -> [F; 3] {
    if target == IGNORE {
        if slope.is_some() {
            logits.fill(F::ZERO);
        }
        return [F::ZERO; 3];
    }
    let (target, vocab) = (target as usize, F::of(logits.len() as f64));
    let (top, at_target, mean) = (largest(logits), logits[target], sum(logits, |l| l) / vocab);
    let lse = top + sum(logits, |l| (l - top).exp()).ln();
    if let Some(s) = slope {
        let (likely, even) = (s.scale * (s.nll + s.smooth + (s.z + s.z) * lse), s.scale * s.smooth / vocab);
        for l in logits.iter_mut() {
            *l = likely * (*l - lse).exp() - even;
        }
        logits[target] -= s.scale * s.nll;
    }
    [lse - at_target, lse * lse, lse - mean]
}
