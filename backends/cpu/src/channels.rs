//! Kernels over independent channels: the outer loop is time, the vector dimension is channels.

use crate::{Real, Threads, scratch::scratch, share::share, threads::Shared};
use alloc::vec::Vec;

/// Channels of one task: two cache lines of f32.
pub(crate) const GROUP: usize = 32;

/// One value per channel of a group.
pub(crate) type Lane<F> = [F; GROUP];

/// The channels `start .. start + count` of one sequence.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    pub(crate) sequence: usize,
    pub(crate) start: usize,
    pub(crate) count: usize,
}

impl Group {
    /// This group's part of a row with one value per channel, padded with zeros.
    #[inline(always)]
    pub(crate) fn of<F: Real>(self, row: &[F]) -> Lane<F> {
        lane(&row[self.start..][..self.count])
    }
}

/// Calls `f` for each group of channels of each sequence; `[B, T, W]`.
pub(crate) fn each_group(threads: &Threads, [batch, time, width]: [usize; 3], f: impl Fn(Group) + Sync) {
    let groups = width.div_ceil(GROUP);
    share(threads, batch * groups, batch * time * width, |task| {
        let start = task % groups * GROUP;
        f(Group { sequence: task / groups, start, count: GROUP.min(width - start) });
    });
}

/// Sums over time and batch: `f(group)` returns `N` sums for each channel of a group, and `finish(n, c, sum)` receives
/// the total over the batch, sequences in order, for every channel `c`.
pub(crate) fn sum_groups<F: Real, const N: usize>(
    threads: &Threads,
    memory: &mut Vec<F>,
    extents: [usize; 3],
    f: impl Fn(Group) -> [Lane<F>; N] + Sync,
    mut finish: impl FnMut(usize, usize, F),
) {
    let [batch, _, width] = extents;
    let partials = scratch(memory, batch * N * width);
    let shared = Shared::new(partials);
    each_group(threads, extents, |group| {
        for (n, sums) in f(group).iter().enumerate() {
            // SAFETY: each group has its own partial sums.
            let partial = unsafe { shared.slice((group.sequence * N + n) * width + group.start, group.count) };
            partial.copy_from_slice(&sums[..group.count]);
        }
    });
    for n in 0..N {
        for c in 0..width {
            finish(n, c, (0..batch).fold(F::ZERO, |sum, b| sum + partials[(b * N + n) * width + c]));
        }
    }
}

/// The values of a group as an array, padded with zeros.
#[inline(always)]
pub(crate) fn lane<F: Real>(x: &[F]) -> Lane<F> {
    // A copy of known length compiles to a few registers, of unknown length to a call.
    if let Some(whole) = x.first_chunk() {
        return *whole;
    }
    let mut lane = [F::ZERO; GROUP];
    lane[..x.len()].copy_from_slice(x);
    lane
}

/// Writes the values of a group back, without the padding.
#[inline(always)]
pub(crate) fn put<F: Real>(lane: &Lane<F>, x: &mut [F]) {
    match x.first_chunk_mut() {
        Some(whole) => *whole = *lane,
        None => x.copy_from_slice(&lane[..x.len()]),
    }
}
