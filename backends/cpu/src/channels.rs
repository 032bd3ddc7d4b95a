//! Work on channels that have nothing to do with each other: time runs outside, channels are the vector.

use crate::{Real, Threads, scratch::scratch, share::share, threads::Shared};
use alloc::vec::Vec;

/// Channels of one task: two cache lines of f32.
pub(crate) const BLOCK: usize = 32;

/// One number for each channel of a block.
pub(crate) type Lane<F> = [F; BLOCK];

/// The channels `start .. start + count` of one sequence.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) sequence: usize,
    pub(crate) start: usize,
    pub(crate) count: usize,
}

impl Block {
    /// This block's part of a row of numbers, one for each channel; zeros behind the last channel.
    #[inline(always)]
    pub(crate) fn of<F: Real>(self, row: &[F]) -> Lane<F> {
        lane(&row[self.start..][..self.count])
    }
}

/// Calls `f` for each block of channels of each sequence.
pub(crate) fn each_block(threads: &Threads, [batch, time, width]: [usize; 3], f: impl Fn(Block) + Sync) {
    let blocks = width.div_ceil(BLOCK);
    share(threads, batch * blocks, batch * time * width, |task| {
        let start = task % blocks * BLOCK;
        f(Block { sequence: task / blocks, start, count: BLOCK.min(width - start) });
    });
}

/// Sums over time and batch: `f(block, sums)` yields `N` sums for each channel of a block, and `finish(n, c, sum)` takes
/// the total over the batch, sequences in order, for every channel `c`.
pub(crate) fn sum_blocks<F: Real, const N: usize>(
    threads: &Threads,
    memory: &mut Vec<F>,
    extents: [usize; 3],
    f: impl Fn(Block) -> [Lane<F>; N] + Sync,
    mut finish: impl FnMut(usize, usize, F),
) {
    let [batch, _, width] = extents;
    let partials = scratch(memory, batch * N * width);
    let shared = Shared::new(partials);
    each_block(threads, extents, |block| {
        for (n, sums) in f(block).iter().enumerate() {
            // SAFETY: each block has its own partial sums.
            let partial = unsafe { shared.slice((block.sequence * N + n) * width + block.start, block.count) };
            partial.copy_from_slice(&sums[..block.count]);
        }
    });
    for n in 0..N {
        for c in 0..width {
            finish(n, c, (0..batch).fold(F::ZERO, |sum, b| sum + partials[(b * N + n) * width + c]));
        }
    }
}

/// The numbers of a block as an array; zeros behind them.
#[inline(always)]
pub(crate) fn lane<F: Real>(x: &[F]) -> Lane<F> {
    // Copying a known length is a few registers, any other is a call.
    if let Some(whole) = x.first_chunk() {
        return *whole;
    }
    let mut lane = [F::ZERO; BLOCK];
    lane[..x.len()].copy_from_slice(x);
    lane
}

/// Puts the numbers of a block back to where they belong.
#[inline(always)]
pub(crate) fn put<F: Real>(lane: &Lane<F>, x: &mut [F]) {
    match x.first_chunk_mut() {
        Some(whole) => *whole = *lane,
        None => x.copy_from_slice(&lane[..x.len()]),
    }
}
