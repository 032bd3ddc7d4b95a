//! The rectified-flow loss and its gradient, in one pass.

use crate::{Cpu, Float, Tensor, reduce::sum, threads::Shared};
use hh_core::{ops::SquaredError, shape::Shaped};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: SquaredError<Tensor<F>>, losses: &mut Tensor<F>, dx: &mut Tensor<F>) {
    let (rows, width) = op.dims(losses.shape());
    assert_eq!(dx.shape().extents(), op.x.shape().extents(), "squared_error: gradient");
    let slope = F::of(2.0 * op.scale as f64 / (rows * width).max(1) as f64);
    let (x, goal) = (op.x.data(), op.goal.data());
    let (level, losses, dx) = (cpu.level, Shared::new(losses.data_mut()), Shared::new(dx.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    // SAFETY: each row belongs to one task.
                    let (loss, dx) = unsafe { (losses.slice(row, 1), dx.slice(row * width, width)) };
                    for ((dx, &x), &goal) in dx.iter_mut().zip(&x[row * width..][..width]).zip(&goal[row * width..][..width]) {
                        *dx = x - goal;
                    }
                    loss[0] = sum(dx, |e| e * e) / F::of(width as f64);
                    dx.iter_mut().for_each(|dx| *dx *= slope);
                }
            },
        );
    });
}
