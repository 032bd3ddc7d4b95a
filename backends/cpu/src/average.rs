//! The weighted sum over a sequence's positions.

use crate::{Cpu, Float, Tensor, threads::Shared};
use hh_core::{ops::Average, shape::Shaped};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Average<Tensor<F>>, y: &mut Tensor<F>) {
    let [batch, time, width] = op.dims(y.shape());
    let (x, weights, level) = (op.x.data(), op.weights.data(), cpu.level);
    let y = Shared::new(&mut y.data_mut()[op.first * width..]);
    cpu.threads.rows(batch, time * width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for b in run {
                    // SAFETY: each row belongs to one task.
                    let y = unsafe { y.slice(b * width, width) };
                    y.fill(F::ZERO);
                    for t in b * time..(b + 1) * time {
                        // Padding has weight 0.
                        if weights[t] != F::ZERO {
                            for (y, &x) in y.iter_mut().zip(&x[t * width..][..width]) {
                                *y += weights[t] * x;
                            }
                        }
                    }
                }
            },
        );
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Average<Tensor<F>>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
    let [batch, time, width] = op.dims(dy.shape());
    assert!(dx.shape().extents() == [batch, time, width], "average: gradient {}", dx.shape());
    let (weights, level) = (op.weights.data(), cpu.level);
    let (dy, dx) = (&dy.data()[op.first * width..], Shared::new(dx.data_mut()));
    cpu.threads.rows(batch * time, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for t in run {
                    // SAFETY: each row belongs to one task.
                    let dx = unsafe { dx.slice(t * width, width) };
                    for (dx, &dy) in dx.iter_mut().zip(&dy[t / time * width..][..width]) {
                        *dx = weights[t] * dy;
                    }
                }
            },
        );
    });
}
