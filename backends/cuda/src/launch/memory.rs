//! Device memory.

use super::device::{DeviceKind, Dropped, GpuDevice};
#[cfg(feature = "emulate")]
use super::emulated::{self, Command};
use crate::error::DeviceError;
use std::sync::Arc;

/// An allocation on a device, freed when dropped.
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
    /// Allocates zeroed memory, aligned to 256 bytes.
    pub(crate) fn new(device: &Arc<GpuDevice>, bytes: usize) -> Result<Self, DeviceError> {
        device.refuse_while_recording("memory was allocated")?;
        let address = match &device.kind {
            DeviceKind::Gpu(driver) => driver.alloc(bytes)?,
            DeviceKind::Planned(next) => GpuDevice::plan(next, bytes),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => emulated::alloc(bytes),
        };
        device.count_taken(bytes);
        Ok(Self { device: device.clone(), address, bytes })
    }

    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies from the host to its start; `from` may be reused on return.
    ///
    /// # Panics
    /// If it is shorter than `from`.
    pub(crate) fn upload(&mut self, from: &[u8]) -> Result<(), DeviceError> {
        assert!(from.len() <= self.bytes, "{} bytes to upload into {}", from.len(), self.bytes);
        self.device.refuse_while_recording("data was uploaded")?;
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

    /// Waits for all queued work, then copies from its start to the host.
    ///
    /// # Panics
    /// If it is shorter than `to`.
    pub(crate) fn download(&self, to: &mut [u8]) -> Result<(), DeviceError> {
        assert!(to.len() <= self.bytes, "{} bytes to download from {}", to.len(), self.bytes);
        self.device.refuse_while_recording("data was downloaded")?;
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

    /// Fills the memory with NaN on the emulated device; a no-op elsewhere.
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
        self.device.release(Dropped::Memory(self.address, self.bytes));
    }
}
