//! Working memory of kernels.

use crate::{
    fault::Fault,
    launch::{Machine, Memory},
};
use std::sync::Arc;

/// Bytes between the starts of two pieces.
const ALIGN: usize = 256;

/// Memory that each kernel has for itself while it runs: all run one after another.
///
/// What a step needs is known after its first time; from then on nothing is allocated.
#[derive(Default)]
pub(crate) struct Scratch {
    blocks: Vec<Memory>,
    /// Bytes of the last block that are taken.
    used: usize,
}

impl Scratch {
    /// All of it is free again. Where it has grown, one block takes the place of several.
    pub(crate) fn reset(&mut self, machine: &Arc<Machine>) -> Result<(), Fault> {
        self.used = 0;
        if self.blocks.len() > 1 {
            let bytes = self.blocks.drain(..).map(|block| block.bytes()).sum();
            self.blocks.push(Memory::new(machine, bytes)?);
        }
        self.blocks.iter_mut().for_each(Memory::poison);
        Ok(())
    }

    /// Address of so many bytes, until the next reset.
    pub(crate) fn take(&mut self, machine: &Arc<Machine>, bytes: usize) -> Result<u64, Fault> {
        let bytes = bytes.next_multiple_of(ALIGN);
        if self.blocks.last().is_none_or(|block| block.bytes() - self.used < bytes) {
            let mut block = Memory::new(machine, bytes.max(1 << 16))?;
            block.poison();
            self.blocks.push(block);
            self.used = 0;
        }
        let block = self.blocks.last().expect("a block with room");
        self.used += bytes;
        Ok(block.address() + (self.used - bytes) as u64)
    }
}
