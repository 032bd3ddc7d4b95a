//! Sharing a kernel's work among threads.
//!
//! A kernel cuts its work into tasks by its shapes alone, never by the number of threads, and no two tasks write the
//! same element: so results are the same bits with any number of threads.

#[cfg(feature = "std")]
use crate::workers::Workers;
use core::{marker::PhantomData, ops::Range};

/// Threads that kernels may use: the calling one, and workers that wait for their share.
#[derive(Clone)]
pub struct Threads {
    #[cfg(feature = "std")]
    workers: Option<std::sync::Arc<Workers>>,
}

impl Threads {
    /// The calling thread alone.
    pub const fn one() -> Self {
        Self {
            #[cfg(feature = "std")]
            workers: None,
        }
    }

    /// `n` threads, the calling one among them; fewer if the system gives no more.
    #[cfg(feature = "std")]
    pub fn new(n: usize) -> Self {
        Self { workers: (n > 1).then(|| std::sync::Arc::new(Workers::new(n - 1))) }
    }

    /// `n` threads, the calling one among them, of which somebody else starts the others, as where a system has threads
    /// that std does not know: `start` takes what one of them has to do, which lasts until these threads are dropped, and
    /// says whether it will. A thread that comes late, or never, is not waited for.
    #[cfg(feature = "std")]
    pub fn started_by(n: usize, start: impl FnMut(std::boxed::Box<dyn FnOnce() + Send>) -> bool) -> Self {
        Self { workers: (n > 1).then(|| std::sync::Arc::new(Workers::started_by(n - 1, start))) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        #[cfg(feature = "std")]
        if let Some(workers) = &self.workers {
            return 1 + workers.count();
        }
        1
    }

    /// Calls `f(0) … f(tasks − 1)`, in any order, and returns when all are done.
    pub(crate) fn each(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        #[cfg(feature = "std")]
        if let Some(workers) = &self.workers
            && tasks > 1
        {
            return workers.each(tasks, &f);
        }
        (0..tasks).for_each(f);
    }

    /// Which of the threads this is, below [`count`](Self::count): no two tasks that run at once have the same.
    pub(crate) fn lane(&self) -> usize {
        #[cfg(feature = "std")]
        if self.workers.is_some() {
            return crate::workers::lane();
        }
        0
    }

    /// Cuts `rows` of `width` elements into runs of some 2¹⁴ elements, and calls `f` with the rows of each.
    pub(crate) fn rows(&self, rows: usize, width: usize, f: impl Fn(Range<usize>) + Sync) {
        let run = ((1 << 14) / width.max(1)).max(1);
        self.each(rows.div_ceil(run), |task| f(task * run..rows.min((task + 1) * run)));
    }
}

/// A slice that several tasks write to, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, F> {
    start: *mut F,
    len: usize,
    life: PhantomData<&'a mut [F]>,
}

// SAFETY: tasks touch disjoint elements (the contract of `slice`).
unsafe impl<F: Send> Send for Shared<'_, F> {}
unsafe impl<F: Send> Sync for Shared<'_, F> {}

impl<'a, F> Shared<'a, F> {
    pub(crate) fn new(slice: &'a mut [F]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), life: PhantomData }
    }

    /// Elements `start .. start + len`; panics outside of the slice.
    ///
    /// # Safety
    /// While the result lives, nobody else reads or writes these elements.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [F] {
        assert!(start <= self.len && len <= self.len - start, "{start} + {len} of {}", self.len);
        // SAFETY: in bounds, and exclusive by this function's contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
