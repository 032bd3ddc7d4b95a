//! The gates of the mixer.

use crate::{
    Cpu, Float, Tensor,
    reduce::{dot, over_rows},
    simd::Kernel,
    strip::{Strip, StripMut},
    tile::softmax,
};
use core::ops::Range;
use hh_core::{
    ops::{Gate, GateGrad},
    shape::Shaped,
};

/// The control column of each gate that is on.
fn columns(on: [bool; 3]) -> impl Iterator<Item = usize> {
    (0..3).filter(move |&i| on[i])
}

/// Hidden units whose `silu` is computed at a time, for all gates.
const HELD: usize = 64;

struct Rows<'a, F> {
    run: Range<usize>,
    hidden: Strip<'a, F>,
    /// `[n, G]`
    weight: &'a [F],
    bias: &'a [F],
    control: Option<Strip<'a, F>>,
    on: [bool; 3],
    gates: StripMut<'a, F>,
}

impl<F: Float> Kernel for Rows<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.bias.len();
        let width = self.weight.len() / n;
        for row in self.run {
            let mut logits = [F::ZERO; 3];
            for (i, column) in columns(self.on).enumerate() {
                logits[i] = self.bias[i] + self.control.map_or(F::ZERO, |c| c.row(row, column, 1)[0]);
            }
            for (at, hidden) in self.hidden.row(row, 0, width).chunks(HELD).enumerate() {
                let mut active = [F::ZERO; HELD];
                active.iter_mut().zip(hidden).for_each(|(a, h)| *a = h.silu());
                for (i, logit) in logits[..n].iter_mut().enumerate() {
                    *logit += dot::<F, FMA>(&active[..hidden.len()], &self.weight[i * width + at * HELD..][..hidden.len()]);
                }
            }
            // SAFETY: each row belongs to one task.
            let gates = unsafe { self.gates.row(row, 0, n) };
            softmax(&logits[..n], gates);
            gates.iter_mut().for_each(|g| *g *= F::of(n as f64));
        }
    }
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Gate<Tensor<F>>, gates: &mut Tensor<F>) {
    let dims = op.dims(gates.shape());
    let (level, gates, control) = (cpu.level, StripMut::all(gates), op.control.as_ref().map(Strip::of));
    let (hidden, weight, bias, on) = (Strip::all(op.hidden), op.weight.data(), op.bias.data(), op.on);
    cpu.threads.rows(dims.rows, dims.hidden * dims.paths, |run| F::run(level, Rows { run, hidden, weight, bias, control, on, gates }));
}

/// Gradients of the logits: with `p = gates / n`, `δ_i = gates_i (dy_i − Σ_j p_j dy_j)`.
#[inline(always)]
fn logit_grads<F: Float>(gates: &[F], dy: &[F]) -> [F; 3] {
    let mean = gates.iter().zip(dy).fold(F::ZERO, |sum, (&g, &dy)| sum + g * dy) / F::of(gates.len() as f64);
    let mut slopes = [F::ZERO; 3];
    for (s, (&g, &dy)) in slopes.iter_mut().zip(gates.iter().zip(dy)) {
        *s = g * (dy - mean);
    }
    slopes
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Gate<Tensor<F>>, gates: &Tensor<F>, dy: &Tensor<F>, d: GateGrad<Tensor<F>>) {
    let dims = op.dims(gates.shape());
    let (level, rows, width, n) = (cpu.level, dims.rows, dims.hidden, dims.paths);
    assert!(dy.shape().extents() == gates.shape().extents(), "gate: gradient {}", dy.shape());
    assert_eq!(d.hidden.shape().extents(), op.hidden.shape().extents(), "gate: gradient of hidden");
    assert!(d.weight.shape().count() == n * width && d.bias.shape().count() == n, "gate: gradients of the parameters");
    assert_eq!(d.control.is_some(), op.control.is_some(), "gate: gradient of the control columns");
    let (hidden, weight, gates, dy) = (Strip::all(op.hidden), op.weight.data(), Strip::all(gates), Strip::all(dy));
    let row_grads = |row: usize| logit_grads(gates.row(row, 0, n), dy.row(row, 0, n));
    let (d_hidden, d_control) = (StripMut::all(d.hidden), d.control.map(StripMut::of));
    over_rows(&cpu.threads, &mut cpu.scratch, rows, d.weight.data_mut(), |run, d_weight| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let slopes = row_grads(row);
                    // SAFETY: each row belongs to one task, here and below.
                    let d_hidden = unsafe { d_hidden.row(row, 0, width) };
                    d_hidden.fill(F::ZERO);
                    let hidden = hidden.row(row, 0, width);
                    for (i, &slope) in slopes[..n].iter().enumerate() {
                        let (w, dw) = (&weight[i * width..][..width], &mut d_weight[i * width..][..width]);
                        for (((dh, dw), &w), &h) in d_hidden.iter_mut().zip(dw).zip(w).zip(hidden) {
                            *dh += slope * w;
                            *dw += slope * h.silu();
                        }
                    }
                    for (dh, &h) in d_hidden.iter_mut().zip(hidden) {
                        *dh *= h.silu_grad();
                    }
                    if let Some(d_control) = d_control {
                        let d_control = unsafe { d_control.row(row, 0, 3) };
                        d_control.fill(F::ZERO);
                        columns(op.on).zip(slopes).for_each(|(column, slope)| d_control[column] = slope);
                    }
                }
            },
        );
    });
    over_rows(&cpu.threads, &mut cpu.scratch, rows, d.bias.data_mut(), |run, d_bias| {
        for row in run {
            d_bias.iter_mut().zip(row_grads(row)).for_each(|(d, slope)| *d += slope);
        }
    });
}
