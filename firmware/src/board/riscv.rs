//! An RV32IMAC, without an FPU: the board virt.

use riscv::register::minstret;

/// Counts instructions.
pub(crate) struct Clock;

impl Clock {
    /// Where the flash begins, as memory/riscv.x has it.
    pub(crate) const FLASH: usize = 0x8000_0000;

    /// The counter runs from the beginning.
    pub(crate) fn start() -> Self {
        Self
    }

    /// Instructions that `work` takes.
    pub(crate) fn count(&self, work: impl FnOnce()) -> u64 {
        let start = minstret::read64();
        work();
        minstret::read64() - start
    }
}
