//! Reductions whose order depends on the shape only, so that results have the same bits for any number of threads.
//!
//! A plain float sum is one chain of additions, which the compiler must not reorder: these keep independent lanes.

use crate::{Real, Threads, scratch::scratch, threads::Shared};
use alloc::vec::Vec;
use core::{hint::black_box, ops::Range};

/// Independent partial sums: four AVX2 vectors or two AVX-512 vectors.
pub(crate) const LANES: usize = 32;

/// `Σ a ∘ b`
#[inline(always)]
pub(crate) fn dot<F: Real, const FMA: bool>(a: &[F], b: &[F]) -> F {
    let mut lanes = [F::ZERO; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = a[i].mul_add::<FMA>(b[i], lanes[i]);
        }
    }
    a_rest.iter().zip(b_rest).fold(total(lanes), |sum, (&a, &b)| a.mul_add::<FMA>(b, sum))
}

/// `Σ f(a)`
#[inline(always)]
pub(crate) fn sum<F: Real, S: Real>(a: &[F], f: impl Fn(F) -> S) -> S {
    let mut lanes = [S::ZERO; LANES];
    let (a, rest) = a.as_chunks::<LANES>();
    for a in a {
        for i in 0..LANES {
            lanes[i] += f(a[i]);
        }
    }
    rest.iter().fold(total(lanes), |sum, &a| sum + f(a))
}

/// The largest element; −∞ if there is none.
#[inline(always)]
pub(crate) fn largest<F: Real>(a: &[F]) -> F {
    let mut lanes = [F::NEG_INFINITY; LANES];
    let (a, rest) = a.as_chunks::<LANES>();
    for a in a {
        for i in 0..LANES {
            lanes[i] = a[i].max(lanes[i]);
        }
    }
    lanes.iter().chain(rest).fold(F::NEG_INFINITY, |m, &a| a.max(m))
}

/// The sum of the lanes; `N` is a multiple of 8.
#[inline(always)]
pub(crate) fn total<F: Real, const N: usize>(lanes: [F; N]) -> F {
    let mut eight = [F::ZERO; 8];
    // `black_box` hides the final additions: the compiler would otherwise keep the lanes in pairs instead of whole vectors.
    for lanes in black_box(lanes).as_chunks::<8>().0 {
        for i in 0..8 {
            eight[i] += lanes[i];
        }
    }
    let [a, b, c, d, e, f, g, h] = black_box(eight);
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Adds sums over rows to `total`: `f(rows, partial)` adds the contribution of some rows to a `partial` of `total`'s length.
///
/// There are at most 32 partials, each over a run of rows, added in order at the end.
pub(crate) fn over_rows<F: Real>(
    threads: &Threads,
    memory: &mut Vec<F>,
    rows: usize,
    total: &mut [F],
    f: impl Fn(Range<usize>, &mut [F]) + Sync,
) {
    let width = total.len();
    let run = rows.div_ceil(32).max((1 << 14) / width.max(1)).max(1);
    let tasks = rows.div_ceil(run);
    let partials = scratch(memory, tasks * width);
    let shared = Shared::new(partials);
    threads.each(tasks, |task| {
        // SAFETY: each task has its own partial.
        let partial = unsafe { shared.slice(task * width, width) };
        partial.fill(F::ZERO);
        f(task * run..rows.min((task + 1) * run), partial);
    });
    for partial in partials.chunks_exact(width.max(1)) {
        total.iter_mut().zip(partial).for_each(|(t, &p)| *t += p);
    }
}
