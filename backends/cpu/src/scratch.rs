//! Working memory of kernels, and the pieces that it is handed out in.

use crate::{
    real::Real,
    threads::{Shared, Threads},
};
use alloc::vec::Vec;

/// The first `len` elements of the working memory, of any content.
pub(crate) fn scratch<F: Real>(memory: &mut Vec<F>, len: usize) -> &mut [F] {
    if memory.len() < len {
        memory.resize(len, F::ZERO);
    }
    &mut memory[..len]
}

/// Working memory that is handed out piece by piece.
pub(crate) struct Carve<'a, F>(pub(crate) &'a mut [F]);

impl<'a, F> Carve<'a, F> {
    pub(crate) fn take(&mut self, len: usize) -> &'a mut [F] {
        let (piece, rest) = core::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        piece
    }
}

/// Working memory of equal size for each thread. What a task finds there is left over from another one.
pub(crate) struct Lanes<'a, F> {
    memory: Shared<'a, F>,
    size: usize,
}

impl<'a, F: Real> Lanes<'a, F> {
    /// How many elements `threads` need for lanes of `size`.
    pub(crate) fn need(threads: &Threads, size: usize) -> usize {
        threads.count() * size
    }

    /// Cuts `memory` of the length that [`need`](Self::need) gave.
    pub(crate) fn new(memory: &'a mut [F], size: usize) -> Self {
        Self { memory: Shared::new(memory), size }
    }

    /// The lane of the thread that this runs on.
    ///
    /// # Safety
    /// Only from a task of [`Threads::each`], once a task, with the threads that the memory was sized for.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn mine(&self, threads: &Threads) -> &'a mut [F] {
        let lane = threads.lane();
        // SAFETY: no two tasks are on one thread at once, so no two hold one lane.
        unsafe { self.memory.slice(lane * self.size, self.size) }
    }
}
