//! Turns: short pieces of computation, as many at a time as there are threads.

use anyhow::Result;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// Gives turns in the order in which they were asked for.
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// Computes something in one turn. If the future is dropped before the turn has come, it is not computed at all.
    ///
    /// # Errors
    /// A panic of the computation.
    pub(super) async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
        let turn = self.0.clone().acquire_owned().await?;
        Ok(spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await?)
    }

    /// Computes something that takes many turns, on a thread that gives its turn back whenever it is [`LongWork::pass`]ed.
    pub(super) fn begin(&self, work: impl FnOnce(&mut LongWork) + Send + 'static) {
        let (turns, handle) = (self.0.clone(), Handle::current());
        spawn_blocking(move || {
            let mut long = LongWork { turns, handle, turn: None };
            long.pass();
            work(&mut long);
        });
    }
}

/// The turn of a long computation.
pub(super) struct LongWork {
    turns: Arc<Semaphore>,
    handle: Handle,
    turn: Option<OwnedSemaphorePermit>,
}

impl LongWork {
    /// Ends this turn and waits for the next one.
    pub(super) fn pass(&mut self) {
        self.pause(|| ());
    }

    /// Ends this turn, waits for something else, and then for the next turn.
    pub(super) fn pause<R>(&mut self, wait: impl FnOnce() -> R) -> R {
        self.turn = None;
        let done = wait();
        // The semaphore is never closed.
        self.turn = self.handle.block_on(self.turns.clone().acquire_owned()).ok();
        done
    }
}
