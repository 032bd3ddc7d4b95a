//! Memory of a machine.

#[cfg(feature = "emulate")]
use super::emulated::{self, Command};
use super::machine::{DeviceKind, Machine};
use crate::error::DeviceError;
use std::sync::Arc;

/// Memory of a machine; freed when dropped.
pub(crate) struct Memory {
    machine: Arc<Machine>,
    address: u64,
    bytes: usize,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes on {}", self.bytes, self.machine.name())
    }
}

impl Memory {
    /// New memory of the machine, all zeros; its start is a multiple of 256.
    pub(crate) fn new(machine: &Arc<Machine>, bytes: usize) -> Result<Self, DeviceError> {
        machine.refuse_while_recording("memory was asked for")?;
        let address = match &machine.kind {
            DeviceKind::Gpu(driver) => driver.alloc(bytes)?,
            DeviceKind::Planned(next) => Machine::plan(next, bytes),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => emulated::alloc(bytes),
        };
        machine.count_taken(bytes);
        Ok(Self { machine: machine.clone(), address, bytes })
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
        self.machine.refuse_while_recording("numbers of the host were sent")?;
        match &self.machine.kind {
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
        self.machine.refuse_while_recording("the host asked for numbers")?;
        match &self.machine.kind {
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

    /// Makes what was left there unreadable, where the machine can tell.
    pub(crate) fn poison(&mut self) -> Result<(), DeviceError> {
        match &self.machine.kind {
            DeviceKind::Gpu(_) | DeviceKind::Planned(_) => Ok(()),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => host.queue(Command::Poison(self.address, self.bytes), self.machine.recording()),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.machine.kind {
            DeviceKind::Gpu(driver) => driver.free(self.address),
            DeviceKind::Planned(_) => {}
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => emulated::free(self.address, self.bytes),
        }
        self.machine.count_freed(self.bytes);
    }
}
