//! The SwiGLU gate of the feed-forward layer.

use crate::{Cpu, Float, Tensor, threads::Shared};
use hh_core::{ops::Swiglu, shape::Shaped};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Swiglu<Tensor<F>>, y: &mut Tensor<F>) {
    let (rows, width) = op.dims(y.shape());
    let (level, packed, y) = (cpu.level, op.packed.data(), Shared::new(y.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let (a, b) = packed[2 * row * width..][..2 * width].split_at(width);
                    // SAFETY: each row belongs to one task.
                    let y = unsafe { y.slice(row * width, width) };
                    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                        *y = a.silu() * b;
                    }
                }
            },
        );
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Swiglu<Tensor<F>>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
    let (rows, width) = op.dims(dy.shape());
    assert_eq!(dx.shape().extents(), op.packed.shape().extents(), "swiglu: gradient");
    let (level, packed, dy, dx) = (cpu.level, op.packed.data(), dy.data(), Shared::new(dx.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let (a, b) = packed[2 * row * width..][..2 * width].split_at(width);
                    // SAFETY: each row belongs to one task.
                    let (da, db) = unsafe { dx.slice(2 * row * width, 2 * width) }.split_at_mut(width);
                    for ((((da, db), &a), &b), &dy) in da.iter_mut().zip(db).zip(a).zip(b).zip(&dy[row * width..][..width]) {
                        let s = a.sigmoid();
                        *da = dy * b * s * (F::ONE + a * (F::ONE - s));
                        *db = dy * a * s;
                    }
                }
            },
        );
    });
}
