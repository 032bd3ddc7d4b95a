//! Recorded work that runs again in one launch: a CUDA graph, or a list of commands on the emulated device.

#[cfg(feature = "emulate")]
use super::emulated::Command;
use super::{
    device::{DeviceKind, GpuDevice},
    driver::Executable,
};
use crate::error::DeviceError;
use std::sync::Arc;

/// Recorded work. It contains addresses: it becomes stale when any memory of the device is freed.
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
    /// Records the operations that `work` queues, without running them.
    ///
    /// # Errors
    /// Errors of the device, and [`DeviceError::WhileRecording`] if memory was freed meanwhile.
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
        if graph.stale() { Err(DeviceError::WhileRecording("memory was freed")) } else { Ok(graph) }
    }

    /// Whether memory that the work may use has been freed since.
    pub(crate) fn stale(&self) -> bool {
        self.freed != self.device.freed()
    }

    /// Queues the work again.
    ///
    /// # Panics
    /// If it is [stale](Self::stale).
    pub(crate) fn replay(&self) -> Result<(), DeviceError> {
        assert!(!self.stale(), "replay of a recording whose memory was freed");
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
