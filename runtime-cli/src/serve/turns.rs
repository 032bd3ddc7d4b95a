//! Turns: short pieces of computation, as many at a time as there are threads.

use anyhow::Result;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
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

    /// Computes something in one turn, on the calling thread, which must not be one of the runtime's.
    pub(super) fn run_here<R>(&self, runtime: &Handle, work: impl FnOnce() -> R) -> R {
        // The semaphore is never closed.
        let _turn = runtime.block_on(self.0.acquire()).ok();
        work()
    }
}
