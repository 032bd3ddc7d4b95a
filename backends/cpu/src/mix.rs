//! The fusion of the paths: each is normalised, multiplied by its gain, and weighted by its gate.

use crate::{
    Cpu, Float, Tensor,
    reduce::{over_rows, sum},
    strip::{Strip, StripMut},
};
use core::ops::Range;
use hh_core::{
    ops::{Mix, MixGrad},
    shape::Shaped,
};

/// Columns of each path that is on.
fn spans(widths: [usize; 3]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    widths.into_iter().filter(|&w| w > 0).map(move |w| {
        start += w;
        start - w..start
    })
}

/// `1 / sqrt(mean(x²) + eps)`, or 1 without normalisation.
#[inline(always)]
fn scale<F: Float>(x: &[F], eps: Option<F>) -> F {
    eps.map_or(F::ONE, |eps| F::ONE / (sum(x, |x| x * x) / F::of(x.len() as f64) + eps).sqrt())
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Mix<Tensor<F>>, y: &mut Tensor<F>) {
    let (rows, width) = op.dims(y.shape());
    let (level, eps, widths) = (cpu.level, op.norm.then(|| F::of_f32(op.eps)), op.widths);
    let n = spans(widths).count();
    let (x, gain, gates, y) = (Strip::all(op.paths), op.gain.data(), op.gates.map(Strip::all), StripMut::all(y));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    for (i, span) in spans(widths).enumerate() {
                        let x = x.row(row, span.start, span.len());
                        let weight = gates.map_or(F::ONE, |g| g.row(row, 0, n)[i]) * scale(x, eps);
                        // SAFETY: each row belongs to one task.
                        let y = unsafe { y.row(row, span.start, span.len()) };
                        for ((y, &x), &gain) in y.iter_mut().zip(x).zip(&gain[span]) {
                            *y = weight * x * gain;
                        }
                    }
                }
            },
        );
    });
}

/// With `r` the scale and `g` the gate of a path of `w` columns: `dg = r Σ dy ∘ gain ∘ x`, `d_gain += g r Σ_rows dy ∘ x`,
/// `dx = g r (gain ∘ dy − x r² mean(gain ∘ dy ∘ x))`, without the last term if the paths are not normalised.
pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Mix<Tensor<F>>, dy: &Tensor<F>, d: MixGrad<Tensor<F>>) {
    let (rows, width) = op.dims(dy.shape());
    let (level, eps, widths) = (cpu.level, op.norm.then(|| F::of_f32(op.eps)), op.widths);
    let n = spans(widths).count();
    assert!(d.paths.shape().extents() == dy.shape().extents() && d.gain.shape().count() == width, "mix: gradients");
    assert_eq!(d.gates.as_ref().map(|g| g.shape().count()), op.gates.map(|g| g.shape().count()), "mix: gradient of the gates");
    let (x, gain, gates, dy) = (Strip::all(op.paths), op.gain.data(), op.gates.map(Strip::all), Strip::all(dy));
    let (dx, d_gates) = (StripMut::all(d.paths), d.gates.map(StripMut::all));
    over_rows(&cpu.threads, &mut cpu.scratch, rows, d.gain.data_mut(), |run, d_gain| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    for (i, span) in spans(widths).enumerate() {
                        let (start, w) = (span.start, span.len());
                        let (x, dy, gain, d_gain) = (x.row(row, start, w), dy.row(row, start, w), &gain[span.clone()], &mut d_gain[span]);
                        let (r, gate) = (scale(x, eps), gates.map_or(F::ONE, |g| g.row(row, 0, n)[i]));
                        // SAFETY: each row belongs to one task, here and below.
                        let dx = unsafe { dx.row(row, start, w) };
                        for ((((dx, d_gain), &x), &dy), &gain) in dx.iter_mut().zip(d_gain).zip(x).zip(dy).zip(gain) {
                            *d_gain += gate * r * (dy * x);
                            *dx = gain * dy * x;
                        }
                        let along = sum(dx, |p| p);
                        if let Some(d_gates) = d_gates {
                            unsafe { d_gates.row(row, i, 1) }.fill(r * along);
                        }
                        let pull = if eps.is_some() { r * r * along / F::of(w as f64) } else { F::ZERO };
                        for (((dx, &x), &dy), &gain) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
                            *dx = gate * r * (gain * dy - x * pull);
                        }
                    }
                }
            },
        );
    });
}
