//! Parallel loops that stay on one thread for little work.

use crate::threads::Threads;

/// Runs `f(0) … f(tasks − 1)`, on one thread if `work` (roughly elements) is too little to justify waking others.
pub(crate) fn share(threads: &Threads, tasks: usize, work: usize, f: impl Fn(usize) + Sync) {
    const MIN_WORK: usize = 1 << 14;
    if work < MIN_WORK {
        threads.each(1, |_| (0..tasks).for_each(&f));
    } else {
        threads.each(tasks, f);
    }
}
