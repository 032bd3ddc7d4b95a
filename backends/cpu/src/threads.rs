//! Parallel loops over the tasks of a kernel.
//!
//! A kernel divides its work into tasks by its shapes only, never by the number of threads, and no two tasks write the
//! same element: results have the same bits for any number of threads.

#[cfg(feature = "std")]
use crate::workers::Workers;
use core::{marker::PhantomData, ops::Range};

/// A thread pool for kernels: the calling thread and its workers.
#[derive(Clone)]
pub struct Threads {
    #[cfg(feature = "std")]
    workers: Option<std::sync::Arc<Workers>>,
}

impl Threads {
    /// Only the calling thread.
    pub const fn one() -> Self {
        Self {
            #[cfg(feature = "std")]
            workers: None,
        }
    }

    /// `n` threads including the calling one; fewer if the system cannot start more.
    #[cfg(feature = "std")]
    pub fn new(n: usize) -> Self {
        Self { workers: (n > 1).then(|| std::sync::Arc::new(Workers::new(n - 1))) }
    }

    /// `n` threads including the calling one, where the caller starts the others, for platforms without `std::thread`.
    /// `start` receives the main function of one thread, which returns when the pool is dropped, and returns whether it
    /// starts that thread. The pool does not wait for a thread that starts late or never.
    #[cfg(feature = "std")]
    pub fn started_by(n: usize, start: impl FnMut(std::boxed::Box<dyn FnOnce() + Send>) -> bool) -> Self {
        Self { workers: (n > 1).then(|| std::sync::Arc::new(Workers::started_by(n - 1, start))) }
    }

    /// Number of threads, including the calling one.
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

    /// Index of the current thread, below [`count`](Self::count). Tasks that run at the same time have different indices.
    pub(crate) fn index(&self) -> usize {
        #[cfg(feature = "std")]
        if self.workers.is_some() {
            return crate::workers::thread_index();
        }
        0
    }

    /// Divides `rows` of `width` elements into runs of about 2¹⁴ elements, and calls `f` with the rows of each run.
    pub(crate) fn rows(&self, rows: usize, width: usize, f: impl Fn(Range<usize>) + Sync) {
        let run = ((1 << 14) / width.max(1)).max(1);
        self.each(rows.div_ceil(run), |task| f(task * run..rows.min((task + 1) * run)));
    }
}

/// A slice that several tasks write to, at disjoint elements.
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
    /// No other code may read or write these elements while the result lives.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [F] {
        assert!(start <= self.len && len <= self.len - start, "{start} + {len} of {}", self.len);
        // SAFETY: in bounds, and exclusive by this function's contract.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
