//! Working memory of kernels.

use crate::{
    error::DeviceError,
    launch::{GpuDevice, Memory},
};
use std::sync::Arc;

/// Alignment of allocations in bytes.
const ALIGN: usize = 256;
/// Smallest chunk in bytes.
const LEAST: usize = 1 << 16;

/// Memory that each backend method uses while its kernels run: all kernels run in order.
///
/// After the first step the memory is large enough, and nothing more is allocated.
#[derive(Default)]
pub(crate) struct Scratch {
    blocks: Vec<Memory>,
    /// Used bytes of the last chunk.
    used: usize,
    /// Bytes that the current method has taken from all chunks, and their peak.
    taken: usize,
    peak: usize,
}

impl Scratch {
    /// Frees all of it.
    pub(crate) fn reset(&mut self, device: &Arc<GpuDevice>) -> Result<(), DeviceError> {
        self.settle(device)?;
        self.blocks.iter_mut().try_for_each(Memory::poison)
    }

    /// Frees all of it; if it has grown, replaces several chunks by one of the peak size.
    pub(crate) fn settle(&mut self, device: &Arc<GpuDevice>) -> Result<(), DeviceError> {
        (self.used, self.taken) = (0, 0);
        if self.blocks.len() > 1 {
            self.blocks.clear();
            self.blocks.push(Memory::new(device, self.peak)?);
        }
        Ok(())
    }

    /// Address of this many bytes, valid until the next reset.
    pub(crate) fn take(&mut self, device: &Arc<GpuDevice>, bytes: usize) -> Result<u64, DeviceError> {
        let bytes = bytes.next_multiple_of(ALIGN);
        if self.blocks.last().is_none_or(|block| block.bytes() - self.used < bytes) {
            let mut block = Memory::new(device, bytes.max(LEAST))?;
            block.poison()?;
            self.blocks.push(block);
            self.used = 0;
        }
        let block = self.blocks.last().expect("a chunk was added above");
        self.used += bytes;
        self.taken += bytes;
        self.peak = self.peak.max(self.taken).max(LEAST);
        Ok(block.address() + (self.used - bytes) as u64)
    }
}
