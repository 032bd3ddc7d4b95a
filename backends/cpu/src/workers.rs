//! A thread pool whose workers spin briefly before they sleep.
//!
//! A decoding step dispatches about a hundred jobs of a few microseconds each, less than the time to wake a sleeping
//! thread. Nothing here allocates once the threads run. A job does not wait for workers that arrive after its last task
//! was taken, so that a loaded system slows it down little.

use core::{
    cell::{Cell, UnsafeCell},
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use std::{
    boxed::Box,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    vec::Vec,
};

/// Polls in a spin loop before yielding: a few microseconds.
const SPINS: usize = 200;
/// Polls with a yield to other threads before sleeping: as long as several kernels of a decoding step on an idle system.
/// On a loaded system longer spinning would delay the thread that it waits for.
const YIELDS: usize = 100;

std::thread_local! {
    static THREAD_INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Index of the current thread: workers count from 1, any other thread is 0.
pub(crate) fn thread_index() -> usize {
    THREAD_INDEX.get()
}

/// The threads of the pool other than the calling one; they end when this is dropped.
pub(crate) struct Workers {
    queue: Arc<JobQueue>,
    count: usize,
    /// Handles of the threads started here, joined on drop.
    threads: Vec<JoinHandle<()>>,
}

/// The main function of a worker; returns when the pool is dropped.
pub(crate) type WorkerLoop = Box<dyn FnOnce() + Send>;

/// State shared by the calling thread and the workers.
struct JobQueue {
    /// Number of jobs so far (high half) and of tasks of the current job not taken yet (low half). In one word, so that
    /// the thread that takes a task knows that it belongs to the current job.
    open: AtomicU64,
    /// Tasks of the current job that have not finished.
    unfinished: AtomicUsize,
    job: UnsafeCell<Job>,
    /// A job is running.
    busy: AtomicBool,
    /// A task panicked.
    panicked: AtomicBool,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    wake: (Mutex<()>, Condvar),
}

/// A borrowed `Fn(usize)` without its lifetime.
#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    data: *const (),
    call: unsafe fn(*const (), usize),
}

// SAFETY: `job` is written only by the thread that set `busy`, while no task is open or unfinished; it is read only by
// threads that have taken a task and not finished it. The closure that it points to is `Sync`.
unsafe impl Send for JobQueue {}
unsafe impl Sync for JobQueue {}

impl Workers {
    /// Starts `n` threads, or as many as the system allows.
    pub(crate) fn new(n: usize) -> Self {
        let mut threads = Vec::new();
        let mut workers = Self::started_by(n, |run| {
            let thread = thread::Builder::new().name("hh-cpu".into()).spawn(run);
            thread.map(|thread| threads.push(thread)).is_ok()
        });
        workers.threads = threads;
        workers
    }

    /// `n` threads started by the caller: `start` receives the main function of one and returns whether it starts it.
    pub(crate) fn started_by(n: usize, mut start: impl FnMut(WorkerLoop) -> bool) -> Self {
        unsafe fn nothing(_: *const (), _: usize) {}
        let queue = Arc::new(JobQueue {
            open: AtomicU64::new(0),
            unfinished: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { tasks: 0, data: core::ptr::null(), call: nothing }),
            busy: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            wake: (Mutex::new(()), Condvar::new()),
        });
        let run = |index| -> WorkerLoop {
            let queue = queue.clone();
            Box::new(move || {
                THREAD_INDEX.set(index);
                queue.worker_loop();
            })
        };
        let count = (1..=n).take_while(|&index| start(run(index))).count();
        Self { queue, count, threads: Vec::new() }
    }

    /// Number of workers.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Calls `f(0) … f(tasks − 1)` on the workers and the calling thread. If a job is already running (of another caller,
    /// or one that this call is nested in), the calling thread runs all tasks itself.
    pub(crate) fn each<G: Fn(usize) + Sync>(&self, tasks: usize, f: &G) {
        unsafe fn call<G: Fn(usize)>(data: *const (), task: usize) {
            // SAFETY: `data` is the `f` below, which outlives the job.
            unsafe { (*data.cast::<G>())(task) }
        }
        let queue = &*self.queue;
        if tasks > u32::MAX as usize || queue.busy.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(f);
        }
        // SAFETY: this thread set `busy`, and the previous job has ended.
        unsafe { *queue.job.get() = Job { tasks, data: (&raw const *f).cast(), call: call::<G> } };
        queue.unfinished.store(tasks, Ordering::Relaxed);
        let number = (queue.open.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        queue.open.store(number << 32 | tasks as u64, Ordering::SeqCst);
        if queue.sleepers.load(Ordering::SeqCst) > 0 {
            queue.wake_all();
        }
        while queue.run_task() {}
        let mut spins = 0;
        while queue.unfinished.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { spin_loop() } else { thread::yield_now() }
        }
        let panicked = queue.panicked.swap(false, Ordering::Relaxed);
        queue.busy.store(false, Ordering::Release);
        if panicked {
            resume_unwind(Box::new("a kernel panicked; its message is above"));
        }
    }
}

impl JobQueue {
    /// Takes a task and runs it; false if there was none.
    fn run_task(&self) -> bool {
        let mut open = self.open.load(Ordering::Acquire);
        loop {
            let left = open as u32 as usize;
            if left == 0 {
                return false;
            }
            match self.open.compare_exchange_weak(open, open - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // SAFETY: a task of this job is taken, so the job stays until the task is counted as finished.
                    let job = unsafe { *self.job.get() };
                    // SAFETY: as above; the panic must not unwind past the caller, whose data other threads may use.
                    if catch_unwind(AssertUnwindSafe(|| unsafe { (job.call)(job.data, job.tasks - left) })).is_err() {
                        self.panicked.store(true, Ordering::Relaxed);
                    }
                    self.unfinished.fetch_sub(1, Ordering::AcqRel);
                    return true;
                }
                Err(now) => open = now,
            }
        }
    }

    /// Runs tasks until `stop` is set.
    fn worker_loop(&self) {
        let mut spins = 0;
        while !self.stop.load(Ordering::Relaxed) {
            spins += 1;
            if self.run_task() {
                spins = 0;
            } else if spins < SPINS {
                spin_loop();
            } else if spins < SPINS + YIELDS {
                thread::yield_now();
            } else {
                self.sleep();
                spins = 0;
            }
        }
    }

    /// Sleeps until a job is published. The worker increments `sleepers` before it checks `open` a last time, and the
    /// caller reads `sleepers` after it has stored `open`: at least one of the two sees the other's write.
    fn sleep(&self) {
        let mut guard = self.wake.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.open.load(Ordering::SeqCst) as u32 == 0 && !self.stop.load(Ordering::SeqCst) {
            guard = self.wake.1.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes all sleeping workers.
    fn wake_all(&self) {
        drop(self.wake.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.1.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.stop.store(true, Ordering::SeqCst);
        self.queue.wake_all();
        for thread in self.threads.drain(..) {
            // `each` has already reported a worker's panics.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_of_every_job_runs_once() {
        let workers = Workers::new(3);
        for tasks in (0..200).chain([5000]).cycle().take(2000) {
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            workers.each(tasks, &|i| {
                done[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn sleeping_workers_wake_and_jobs_may_nest_or_overlap() {
        let (workers, sum) = (Workers::new(2), AtomicUsize::new(0));
        let add = |i: usize| {
            sum.fetch_add(i, Ordering::Relaxed);
        };
        for _ in 0..20 {
            thread::sleep(core::time::Duration::from_millis(2));
            thread::scope(|s| (0..3).for_each(|_| drop(s.spawn(|| workers.each(10, &|_| workers.each(10, &add))))));
        }
        assert_eq!(sum.into_inner(), 20 * 3 * 10 * 45);
    }

    #[test]
    fn threads_started_by_the_caller_share_the_work_and_end_with_the_pool() {
        let mut loops = Vec::new();
        let workers = Workers::started_by(3, |run| {
            loops.push(run);
            loops.len() < 3
        });
        assert_eq!(workers.count(), 2);
        let sum = AtomicUsize::new(0);
        let add = |i: usize| {
            sum.fetch_add(i, Ordering::Relaxed);
        };
        // The caller runs all tasks before any worker has started.
        workers.each(10, &add);
        thread::scope(|s| {
            loops.into_iter().for_each(|run| drop(s.spawn(run)));
            (0..50).for_each(|_| workers.each(10, &add));
            drop(workers);
        });
        assert_eq!(sum.into_inner(), 51 * 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        let workers = Workers::new(1);
        let caught = catch_unwind(AssertUnwindSafe(|| workers.each(8, &|i| assert!(i != 5, "planted"))));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        workers.each(4, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 6);
    }
}
