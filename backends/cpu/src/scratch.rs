//! Working memory of kernels, and ways to divide it.

use crate::{
    real::Real,
    threads::{Shared, Threads},
};
use alloc::vec::Vec;

/// The first `len` elements of the working memory, with unspecified content.
pub(crate) fn scratch<F: Real>(memory: &mut Vec<F>, len: usize) -> &mut [F] {
    if memory.len() < len {
        // Nothing is copied and nothing allocated beyond need: on a microcontroller both would be the peak of its memory.
        *memory = Vec::new();
        memory.reserve_exact(len);
        memory.resize(len, F::ZERO);
    }
    &mut memory[..len]
}

/// A bump allocator over working memory.
pub(crate) struct Bump<'a, F>(pub(crate) &'a mut [F]);

impl<'a, F> Bump<'a, F> {
    pub(crate) fn take(&mut self, len: usize) -> &'a mut [F] {
        let (piece, rest) = core::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        piece
    }
}

/// Working memory of equal size for each thread, with unspecified content.
pub(crate) struct PerThread<'a, F> {
    memory: Shared<'a, F>,
    size: usize,
}

impl<'a, F: Real> PerThread<'a, F> {
    /// Elements that `threads` need for `size` elements each.
    pub(crate) fn len(threads: &Threads, size: usize) -> usize {
        threads.count() * size
    }

    /// Divides `memory`, whose length is that of [`len`](Self::len).
    pub(crate) fn new(memory: &'a mut [F], size: usize) -> Self {
        Self { memory: Shared::new(memory), size }
    }

    /// The memory of the current thread.
    ///
    /// # Safety
    /// Call only from a task of [`Threads::each`], once per task, with the threads that the memory was sized for.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn current(&self, threads: &Threads) -> &'a mut [F] {
        let thread = threads.index();
        // SAFETY: a thread runs one task at a time, so no two tasks hold the same memory.
        unsafe { self.memory.slice(thread * self.size, self.size) }
    }
}
