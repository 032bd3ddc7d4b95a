//! Working memory of kernels.

use crate::{
    error::DeviceError,
    launch::{GpuDevice, Memory},
};
use std::sync::Arc;

/// Bytes between the starts of two pieces.
const ALIGN: usize = 256;
/// Fewest bytes of a block.
const LEAST: usize = 1 << 16;

/// Memory that each kernel has for itself while it runs: all run one after another.
///
/// What a step needs is known after its first time; from then on nothing is allocated.
#[derive(Default)]
pub(crate) struct Scratch {
    blocks: Vec<Memory>,
    /// Bytes of the last block that are taken.
    used: usize,
    /// Bytes that the kernel at hand has taken of all blocks, and the most that one ever took.
    taken: usize,
    most: usize,
}

impl Scratch {
    /// All of it is free again.
    pub(crate) fn reset(&mut self, device: &Arc<GpuDevice>) -> Result<(), DeviceError> {
        self.settle(device)?;
        self.blocks.iter_mut().try_for_each(Memory::poison)
    }

    /// Where it has grown, one block that is long enough for all takes the place of several. All of it is free again.
    pub(crate) fn settle(&mut self, device: &Arc<GpuDevice>) -> Result<(), DeviceError> {
        (self.used, self.taken) = (0, 0);
        if self.blocks.len() > 1 {
            self.blocks.clear();
            self.blocks.push(Memory::new(device, self.most)?);
        }
        Ok(())
    }

    /// Address of so many bytes, until the next reset.
    pub(crate) fn take(&mut self, device: &Arc<GpuDevice>, bytes: usize) -> Result<u64, DeviceError> {
        let bytes = bytes.next_multiple_of(ALIGN);
        if self.blocks.last().is_none_or(|block| block.bytes() - self.used < bytes) {
            let mut block = Memory::new(device, bytes.max(LEAST))?;
            block.poison()?;
            self.blocks.push(block);
            self.used = 0;
        }
        let block = self.blocks.last().expect("a block with room");
        self.used += bytes;
        self.taken += bytes;
        self.most = self.most.max(self.taken).max(LEAST);
        Ok(block.address() + (self.used - bytes) as u64)
    }
}
