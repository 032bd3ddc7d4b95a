//! One tensor added to another, for sums of gradients.

use crate::{Cpu, Float, Tensor, threads::Shared};
use hh_core::shape::Shaped;

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, x: &Tensor<F>, y: &mut Tensor<F>) {
    assert_eq!(x.shape().extents(), y.shape().extents(), "add: tensors of different shapes");
    let (level, x, y) = (cpu.level, x.data(), Shared::new(y.data_mut()));
    cpu.threads.rows(x.len(), 1, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                // SAFETY: each run of elements belongs to one task.
                let y = unsafe { y.slice(run.start, run.len()) };
                y.iter_mut().zip(&x[run]).for_each(|(y, &x)| *y += x);
            },
        );
    });
}
