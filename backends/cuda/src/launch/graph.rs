//! Recorded work that runs again in one launch: a CUDA graph, or a list of commands on the emulated device.

#[cfg(feature = "emulate")]
use super::emulated::Command;
use super::{
    device::{DeviceKind, Dropped, GpuDevice},
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
    /// Records the operations that `work` queues, without running them. Memory that it drops is freed afterwards.
    ///
    /// # Errors
    /// Errors of the device, and [`DeviceError::WhileRecording`] if memory was dropped meanwhile.
    pub(crate) fn record(device: &Arc<GpuDevice>, work: impl FnOnce()) -> Result<Self, DeviceError> {
        let freed = device.freed();
        let mut capture = Capture::begin(device)?;
        work();
        let kept = capture.end();
        // Said first: that memory was dropped is what the caller can change.
        if freed != device.freed() {
            return Err(DeviceError::WhileRecording("memory was freed"));
        }
        Ok(Self { device: device.clone(), kept: kept?, freed })
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
        if let Kept::Gpu(work) = std::mem::replace(&mut self.kept, Kept::Nothing) {
            self.device.release(Dropped::Graph(work));
        }
    }
}

/// The time in which work is recorded; it ends in a panic as well.
struct Capture<'a> {
    device: &'a GpuDevice,
    ended: bool,
}

impl<'a> Capture<'a> {
    fn begin(device: &'a GpuDevice) -> Result<Self, DeviceError> {
        if let DeviceKind::Gpu(driver) = &device.kind {
            driver.begin()?;
        }
        device.set_recording(true);
        Ok(Self { device, ended: false })
    }

    fn end(&mut self) -> Result<Kept, DeviceError> {
        self.ended = true;
        let kept = match &self.device.kind {
            DeviceKind::Gpu(driver) => driver.end().map(Kept::Gpu),
            DeviceKind::Planned(_) => Ok(Kept::Nothing),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => Ok(Kept::Emulated(host.take())),
        };
        self.device.set_recording(false);
        self.device.release_dropped();
        kept
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.end();
        }
    }
}
