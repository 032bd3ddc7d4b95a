//! Sum of squares, for the gradient norm.

use crate::{Cpu, Float, Tensor, reduce::sum, scratch::scratch, threads::Shared};
use hh_core::shape::Shaped;

/// Elements per partial sum.
const RUN: usize = 1 << 15;

/// Partial sums are accumulated in f64 and rounded to `F`.
pub(crate) fn forward<'a, F: Float>(cpu: &mut Cpu<F>, of: impl Iterator<Item = &'a Tensor<F>>, total: &mut Tensor<F>) {
    assert_eq!(total.shape().count(), 1, "sum_squares: total");
    total.data_mut()[0] = F::ZERO;
    of.for_each(|x| add(cpu, x, &mut total.data_mut()[0]));
}

fn add<F: Float>(cpu: &mut Cpu<F>, x: &Tensor<F>, total: &mut F) {
    let tasks = x.data().len().div_ceil(RUN);
    let partials = scratch(&mut cpu.scratch, tasks);
    let (level, shared) = (cpu.level, Shared::new(partials));
    cpu.threads.each(tasks, |task| {
        let x = &x.data()[task * RUN..];
        let x = &x[..RUN.min(x.len())];
        let partial = F::vectorise(
            level,
            #[inline(always)]
            || sum(x, |x| x.to_f64() * x.to_f64()),
        );
        // SAFETY: each partial belongs to one task.
        let slot = unsafe { shared.slice(task, 1) };
        slot[0] = F::of(partial);
    });
    *total = F::of(partials.iter().fold(total.to_f64(), |sum, p| sum + p.to_f64()));
}
