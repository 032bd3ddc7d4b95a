//! The hidden layer of the rectified-flow head.

use crate::{Cpu, Float, Tensor, reduce::over_rows, threads::Shared};
use hh_core::{
    ops::{FlowHidden, FlowHiddenGrad},
    shape::Shaped,
};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: FlowHidden<Tensor<F>>, y: &mut Tensor<F>) {
    let (rows, width) = op.dims(y.shape());
    let (x, time, weight) = (op.x.data(), op.time.data(), op.weight.data());
    let (level, y) = (cpu.level, Shared::new(y.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    // SAFETY: each row belongs to one task.
                    let y = unsafe { y.slice(row * width, width) };
                    for ((y, &x), &w) in y.iter_mut().zip(&x[row * width..][..width]).zip(weight) {
                        *y = (x + time[row] * w).silu();
                    }
                }
            },
        );
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: FlowHidden<Tensor<F>>, dy: &Tensor<F>, d: FlowHiddenGrad<Tensor<F>>) {
    let (rows, width) = op.dims(dy.shape());
    assert!(d.x.shape().extents() == dy.shape().extents() && d.weight.shape().count() == width, "flow_hidden: gradients");
    let (x, time, weight, dy) = (op.x.data(), op.time.data(), op.weight.data(), dy.data());
    let (level, dx) = (cpu.level, Shared::new(d.x.data_mut()));
    over_rows(&cpu.threads, &mut cpu.scratch, rows, d.weight.data_mut(), |run, d_weight| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let (x, dy, tau) = (&x[row * width..][..width], &dy[row * width..][..width], time[row]);
                    // SAFETY: each row belongs to one task.
                    let dx = unsafe { dx.slice(row * width, width) };
                    for ((((dx, d_weight), &x), &dy), &w) in dx.iter_mut().zip(d_weight.iter_mut()).zip(x).zip(dy).zip(weight) {
                        *dx = dy * (x + tau * w).silu_grad();
                        *d_weight += tau * *dx;
                    }
                }
            },
        );
    });
}
