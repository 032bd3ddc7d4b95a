//! Queued work that runs again as one: a CUDA graph, or a list on the emulated device.

#[cfg(feature = "emulate")]
use super::emulated::Command;
use super::{
    device::{DeviceKind, GpuDevice},
    driver::Executable,
};
use crate::error::DeviceError;
use std::sync::Arc;

/// Work that was recorded. It holds addresses: where any memory of the device has been given back since, it runs no more.
pub(crate) struct Graph {
    device: Arc<GpuDevice>,
    kept: Kept,
    freed: u64,
}

enum Kept {
    Gpu(Executable),
    Nothing,
    #[cfg(feature = "emulate")]
    Emulated(Vec<Command>),
}

impl Graph {
    /// Records what `work` queues, which is not run.
    ///
    /// # Errors
    /// The device's own, and [`DeviceError::WhileRecording`] where memory was given back meanwhile.
    pub(crate) fn record(device: &Arc<GpuDevice>, work: impl FnOnce()) -> Result<Self, DeviceError> {
        let freed = device.freed();
        if let DeviceKind::Gpu(driver) = &device.kind {
            driver.begin()?;
        }
        device.set_recording(true);
        work();
        device.set_recording(false);
        let kept = match &device.kind {
            DeviceKind::Gpu(driver) => Kept::Gpu(driver.end()?),
            DeviceKind::Planned(_) => Kept::Nothing,
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => Kept::Emulated(host.take()),
        };
        let graph = Self { device: device.clone(), kept, freed };
        if graph.stale() { Err(DeviceError::WhileRecording("memory was given back")) } else { Ok(graph) }
    }

    /// Whether memory has been given back since, which the work may have been over.
    pub(crate) fn stale(&self) -> bool {
        self.freed != self.device.freed()
    }

    /// Queues the work again.
    ///
    /// # Panics
    /// Where it is [stale](Self::stale).
    pub(crate) fn replay(&self) -> Result<(), DeviceError> {
        assert!(!self.stale(), "a recording over memory that is gone");
        match (&self.device.kind, &self.kept) {
            (DeviceKind::Gpu(driver), Kept::Gpu(work)) => driver.replay(work),
            #[cfg(feature = "emulate")]
            (_, Kept::Emulated(commands)) => commands.iter().try_for_each(Command::run),
            _ => Ok(()),
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let (DeviceKind::Gpu(driver), Kept::Gpu(work)) = (&self.device.kind, &self.kept) {
            driver.forget(work);
        }
    }
}
