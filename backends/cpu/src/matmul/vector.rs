//! Products of few rows: memory-bound, each weight is read once without packing.

use super::write::Write;
use crate::{Cpu, Real, reduce::dot, simd::Kernel, threads::Shared};
use core::ops::Range;

/// Up to this many rows the weights are not packed. Packing pays off from 5 rows for weights in cache, from about 20 for
/// weights in memory.
pub(super) const ROWS: usize = 8;
/// Weights per task: about 20 µs of memory traffic on one thread, far above the cost of dispatching a task.
const TASK: usize = 1 << 16;

/// `y = x · wᵀ`; extents are rows, columns of `x`, rows of `w`.
pub(super) fn product<F: Real>(cpu: &mut Cpu<F>, x: &[F], w: &[F], [rows, inp, out]: [usize; 3], write: Write<F>, y: &mut [F]) {
    let y = Shared::new(y);
    let level = cpu.level;
    let run = (TASK / (inp * rows).max(1)).max(1);
    cpu.threads.each(out.div_ceil(run), |task| {
        let run = task * run..out.min((task + 1) * run);
        F::run(level, Dots { x, w, extents: [rows, inp, out], write, run, y });
    });
}

struct Dots<'a, F> {
    x: &'a [F],
    w: &'a [F],
    extents: [usize; 3],
    write: Write<'a, F>,
    run: Range<usize>,
    y: Shared<'a, F>,
}

impl<F: Real> Kernel for Dots<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [rows, inp, out] = self.extents;
        for o in self.run {
            let w = &self.w[o * inp..][..inp];
            for r in 0..rows {
                let sum = dot::<F, FMA>(&self.x[r * inp..][..inp], w);
                let at = r * out + o;
                // SAFETY: each column of `y` belongs to one task.
                let y = unsafe { self.y.slice(at, 1) };
                y[0] = self.write.element(y[0], sum, at, o);
            }
        }
    }
}
