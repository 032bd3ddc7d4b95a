//! Whether work is worth the other threads.

use crate::threads::Threads;

/// Runs `f(0) … f(tasks − 1)`, on one thread where `work` (elements or so) is too little to be worth waking others.
pub(crate) fn share(threads: &Threads, tasks: usize, work: usize, f: impl Fn(usize) + Sync) {
    const WORTH_SHARING: usize = 1 << 14;
    if work < WORTH_SHARING {
        threads.each(1, |_| (0..tasks).for_each(&f));
    } else {
        threads.each(tasks, f);
    }
}
