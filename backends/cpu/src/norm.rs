//! Root-mean-square normalisation (RMSNorm).

use crate::{
    Cpu, Float, Tensor,
    reduce::{over_rows, sum},
    threads::Shared,
};
use hh_core::{
    ops::{Norm, NormGrad},
    shape::Shaped,
};

/// `1 / sqrt(mean(x²) + eps)`
#[inline(always)]
fn scale<F: Float>(x: &[F], eps: F) -> F {
    F::ONE / (sum(x, |x| x * x) / F::of(x.len() as f64) + eps).sqrt()
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Norm<Tensor<F>>, y: &mut Tensor<F>) {
    let (rows, width) = op.dims(y.shape());
    let (x, gain, eps) = (op.x.data(), op.gain.data(), F::of_f32(op.eps));
    let (level, y) = (cpu.level, Shared::new(y.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let x = &x[row * width..][..width];
                    let r = scale(x, eps);
                    // SAFETY: each row belongs to one task.
                    let y = unsafe { y.slice(row * width, width) };
                    for ((y, &x), &g) in y.iter_mut().zip(x).zip(gain) {
                        *y = g * x * r;
                    }
                }
            },
        );
    });
}

/// With `r` the scale of a row: `dx = residual + r (gain ∘ dy) − x r³ mean(gain ∘ dy ∘ x)`, `d_gain += Σ dy ∘ x r`.
pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Norm<Tensor<F>>,
    dy: &Tensor<F>,
    residual: Option<&Tensor<F>>,
    d: NormGrad<Tensor<F>>,
) {
    let (rows, width) = op.dims(dy.shape());
    assert!(d.x.shape().extents() == dy.shape().extents() && d.gain.shape().count() == width, "norm: gradients");
    if let Some(residual) = residual {
        assert_eq!(residual.shape().extents(), dy.shape().extents(), "norm: residual's gradient");
    }
    let (x, gain, eps, dy) = (op.x.data(), op.gain.data(), F::of_f32(op.eps), dy.data());
    let (level, dx) = (cpu.level, Shared::new(d.x.data_mut()));
    over_rows(&cpu.threads, &mut cpu.scratch, rows, d.gain.data_mut(), |run, d_gain| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let (x, dy) = (&x[row * width..][..width], &dy[row * width..][..width]);
                    // SAFETY: each row belongs to one task.
                    let dx = unsafe { dx.slice(row * width, width) };
                    let r = scale(x, eps);
                    for ((((dx, d_gain), &x), &dy), &g) in dx.iter_mut().zip(d_gain.iter_mut()).zip(x).zip(dy).zip(gain) {
                        *d_gain += dy * x * r;
                        *dx = g * dy * x;
                    }
                    let pull = sum(dx, |p| p) * r * r * r / F::of(width as f64);
                    for (((dx, &x), &dy), &g) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
                        *dx = r * (g * dy) - x * pull;
                    }
                    if let Some(residual) = residual {
                        dx.iter_mut().zip(&residual.data()[row * width..][..width]).for_each(|(dx, &past)| *dx += past);
                    }
                }
            },
        );
    });
}
