//! Threads that wait for work by spinning a little before they sleep.
//!
//! A decoding step hands over some hundred pieces of work of a few microseconds each: less than it takes to wake a
//! sleeping thread. Nothing here allocates once the threads run. A thread that comes late finds no task left and is
//! not waited for, so that a busy machine costs little.

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

/// How often a thread looks for work, or for the end of it, without a pause for others: some microseconds.
const SPINS: usize = 200;
/// How often it then lets another thread run and looks again, before it sleeps: as long as several kernels of a decoding
/// step on an idle machine. On a busy one, spinning any longer would hold up the very thread that it waits for.
const YIELDS: usize = 100;

std::thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Which of the threads that share a job this is: workers count from 1, everybody else is 0.
pub(crate) fn lane() -> usize {
    LANE.get()
}

/// The threads beside the calling one; they end when this is dropped.
pub(crate) struct Workers {
    board: Arc<Board>,
    count: usize,
    /// Those that are ours to wait for at the end.
    threads: Vec<JoinHandle<()>>,
}

/// What a worker does until it is told to stop.
pub(crate) type Life = Box<dyn FnOnce() + Send>;

/// What the calling thread and the workers share.
struct Board {
    /// How many jobs there have been (high half) and how many tasks of the newest nobody has taken (low half). In one
    /// word, so that whoever takes a task knows that it belongs to the job that is on the board.
    open: AtomicU64,
    /// Tasks of the newest job that have not ended.
    unfinished: AtomicUsize,
    job: UnsafeCell<Job>,
    /// A job is on the board.
    busy: AtomicBool,
    /// A task panicked.
    panicked: AtomicBool,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    bell: (Mutex<()>, Condvar),
}

/// A borrowed `Fn(usize)` without its lifetime.
#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    data: *const (),
    call: unsafe fn(*const (), usize),
}

// SAFETY: `job` is written only by the thread that holds `busy`, while no task is open or unfinished; it is read only
// by those who have taken a task that is not finished yet. What it points to is `Sync`.
unsafe impl Send for Board {}
unsafe impl Sync for Board {}

impl Workers {
    /// `n` threads, or as many as the system gives.
    pub(crate) fn new(n: usize) -> Self {
        let mut threads = Vec::new();
        let mut workers = Self::started_by(n, |life| {
            let thread = thread::Builder::new().name("hh-cpu".into()).spawn(life);
            thread.map(|thread| threads.push(thread)).is_ok()
        });
        workers.threads = threads;
        workers
    }

    /// `n` threads that somebody else starts: `start` takes what one of them does, and says whether it will.
    pub(crate) fn started_by(n: usize, mut start: impl FnMut(Life) -> bool) -> Self {
        unsafe fn nothing(_: *const (), _: usize) {}
        let board = Arc::new(Board {
            open: AtomicU64::new(0),
            unfinished: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { tasks: 0, data: core::ptr::null(), call: nothing }),
            busy: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            bell: (Mutex::new(()), Condvar::new()),
        });
        let life = |lane| -> Life {
            let board = board.clone();
            Box::new(move || {
                LANE.set(lane);
                board.serve();
            })
        };
        let count = (1..=n).take_while(|&lane| start(life(lane))).count();
        Self { board, count, threads: Vec::new() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Calls `f(0) … f(tasks − 1)` on the workers and the calling thread. Where a job is running already (another
    /// caller's, or the one that this call is part of), the calling thread does it alone.
    pub(crate) fn each<G: Fn(usize) + Sync>(&self, tasks: usize, f: &G) {
        unsafe fn call<G: Fn(usize)>(data: *const (), task: usize) {
            // SAFETY: `data` is the `f` below, which outlives the job.
            unsafe { (*data.cast::<G>())(task) }
        }
        let board = &*self.board;
        if tasks > u32::MAX as usize || board.busy.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(f);
        }
        // SAFETY: `busy` is ours, and the last job has ended.
        unsafe { *board.job.get() = Job { tasks, data: (&raw const *f).cast(), call: call::<G> } };
        board.unfinished.store(tasks, Ordering::Relaxed);
        let number = (board.open.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        board.open.store(number << 32 | tasks as u64, Ordering::SeqCst);
        if board.sleepers.load(Ordering::SeqCst) > 0 {
            board.ring();
        }
        while board.take() {}
        let mut spins = 0;
        while board.unfinished.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { spin_loop() } else { thread::yield_now() }
        }
        let panicked = board.panicked.swap(false, Ordering::Relaxed);
        board.busy.store(false, Ordering::Release);
        if panicked {
            resume_unwind(Box::new("a kernel panicked; its message is above"));
        }
    }
}

impl Board {
    /// Takes a task and does it; false if there was none.
    fn take(&self) -> bool {
        let mut open = self.open.load(Ordering::Acquire);
        loop {
            let left = open as u32 as usize;
            if left == 0 {
                return false;
            }
            match self.open.compare_exchange_weak(open, open - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // SAFETY: we have a task of this job, so it stays until we count the task as finished.
                    let job = unsafe { *self.job.get() };
                    // SAFETY: as above; a panic is kept from unwinding past the caller, whose data others may be using.
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

    /// A worker's life.
    fn serve(&self) {
        let mut spins = 0;
        while !self.stop.load(Ordering::Relaxed) {
            spins += 1;
            if self.take() {
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

    /// Sleeps until a job comes. The counter goes up before the last look at the board, and the caller looks at the
    /// counter after it has put the job on the board: one of the two sees the other.
    fn sleep(&self) {
        let mut guard = self.bell.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.open.load(Ordering::SeqCst) as u32 == 0 && !self.stop.load(Ordering::SeqCst) {
            guard = self.bell.1.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes all who sleep.
    fn ring(&self) {
        drop(self.bell.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.1.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.board.stop.store(true, Ordering::SeqCst);
        self.board.ring();
        for thread in self.threads.drain(..) {
            // A worker's panics have been reported by `each`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_job_after_job() {
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
    fn sleeping_workers_wake_and_jobs_may_nest_or_meet() {
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
    fn threads_that_somebody_else_started_share_the_work_and_end_with_it() {
        let mut lives = Vec::new();
        let workers = Workers::started_by(3, |life| {
            lives.push(life);
            lives.len() < 3
        });
        assert_eq!(workers.count(), 2);
        let sum = AtomicUsize::new(0);
        let add = |i: usize| {
            sum.fetch_add(i, Ordering::Relaxed);
        };
        // Before any of them has come, the caller is enough.
        workers.each(10, &add);
        thread::scope(|s| {
            lives.into_iter().for_each(|life| drop(s.spawn(life)));
            (0..50).for_each(|_| workers.each(10, &add));
            drop(workers);
        });
        assert_eq!(sum.into_inner(), 51 * 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_workers_whole() {
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
