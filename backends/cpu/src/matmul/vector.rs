//! Products whose rows have the bits that they have alone: each is [`dot`] of a row and a row of weights. Without packing of weights,
//! which are read once for all rows; few rows, as in decoding, are memory-bound.

use super::{
    panels::{OUT, Panels},
    write::Write,
};
use crate::{Cpu, Real, reduce::dot, simd::Kernel, threads::Shared};
use core::ops::Range;

/// Up to this many rows the weights are not packed. Packing pays off from 5 rows for weights in cache, from about 20 for
/// weights in memory.
pub(super) const ROWS: usize = 8;
/// Weights per task: about 20 µs of memory traffic on one thread, far above the cost of dispatching a task.
const TASK: usize = 1 << 16;

/// `y = x · wᵀ`; extents are rows, columns of `x`, rows of `w`.
pub(super) fn product<F: Real>(cpu: &mut Cpu<F>, x: &[F], w: &[F], [rows, inp, out]: [usize; 3], write: Write<F>, y: &mut [F]) {
    let Cpu { level, threads, scratch, .. } = cpu;
    let (panels, y) = (Panels::new(*level, threads, x, [rows, inp], scratch), Shared::new(y));
    let run = (TASK / (inp * rows).max(1)).max(1).next_multiple_of(if panels.rows > 0 { 4 * OUT } else { 1 });
    threads.each(out.div_ceil(run), |task| {
        let run = task * run..out.min((task + 1) * run);
        if panels.rows > 0 {
            panels.product(*level, w, [inp, out], run.clone(), write, y);
        }
        if panels.rows < rows {
            F::run(*level, Dots { x, w, extents: [rows, inp, out], first: panels.rows, write, run, y });
        }
    });
}

struct Dots<'a, F> {
    x: &'a [F],
    w: &'a [F],
    extents: [usize; 3],
    /// The first row to compute.
    first: usize,
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
            for r in self.first..rows {
                let sum = dot::<F, FMA>(&self.x[r * inp..][..inp], w);
                let at = r * out + o;
                // SAFETY: each column of `y` belongs to one task.
                let y = unsafe { self.y.slice(at, 1) };
                y[0] = self.write.element(y[0], sum, at, o);
            }
        }
    }
}
