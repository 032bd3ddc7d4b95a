//! Memory of a device.

use super::device::{DeviceKind, GpuDevice};
#[cfg(feature = "emulate")]
use super::emulated::{self, Command};
use crate::error::DeviceError;
use std::sync::Arc;

/// Memory of a device; freed when dropped.
pub(crate) struct Memory {
    device: Arc<GpuDevice>,
    address: u64,
    bytes: usize,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes on {}", self.bytes, self.device.name())
    }
}

impl Memory {
    /// New memory of the device, all zeros; its start is a multiple of 256.
    pub(crate) fn new(device: &Arc<GpuDevice>, bytes: usize) -> Result<Self, DeviceError> {
        device.refuse_while_recording("memory was asked for")?;
        let address = match &device.kind {
            DeviceKind::Gpu(driver) => driver.alloc(bytes)?,
            DeviceKind::Planned(next) => GpuDevice::plan(next, bytes),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => emulated::alloc(bytes),
        };
        device.count_taken(bytes);
        Ok(Self { device: device.clone(), address, bytes })
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies from the host; the host's slice is free on return.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub(crate) fn upload(&mut self, from: &[u8]) -> Result<(), DeviceError> {
        assert_eq!(from.len(), self.bytes, "bytes to upload");
        self.device.refuse_while_recording("numbers of the host were sent")?;
        match &self.device.kind {
            DeviceKind::Gpu(driver) => driver.upload(from, self.address),
            DeviceKind::Planned(_) => Ok(()),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => {
                emulated::upload(from, self.address);
                Ok(())
            }
        }
    }

    /// Waits for all that is queued, then copies to the host.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub(crate) fn download(&self, to: &mut [u8]) -> Result<(), DeviceError> {
        assert_eq!(to.len(), self.bytes, "bytes to download");
        self.device.refuse_while_recording("the host asked for numbers")?;
        match &self.device.kind {
            DeviceKind::Gpu(driver) => driver.download(self.address, to),
            DeviceKind::Planned(_) => {
                to.fill(0);
                Ok(())
            }
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => {
                emulated::download(self.address, to);
                Ok(())
            }
        }
    }

    /// Makes what was left there unreadable, where the device can tell.
    pub(crate) fn poison(&mut self) -> Result<(), DeviceError> {
        match &self.device.kind {
            DeviceKind::Gpu(_) | DeviceKind::Planned(_) => Ok(()),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => host.queue(Command::Poison(self.address, self.bytes), self.device.recording()),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.device.kind {
            DeviceKind::Gpu(driver) => driver.free(self.address),
            DeviceKind::Planned(_) => {}
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => emulated::free(self.address, self.bytes),
        }
        self.device.count_freed(self.bytes);
    }
}
