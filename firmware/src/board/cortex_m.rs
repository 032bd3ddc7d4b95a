//! A Cortex-M4 with an FPU: the board mps2-an386.

use cortex_m::peripheral::{SYST, syst::SystClkSource};

/// Instructions per tick: the clock of the board runs at 25 MHz, and the emulator executes one instruction per nanosecond.
const INSTRUCTIONS: u64 = 40;
/// The counter counts down in 24 bits.
const MASK: u32 = 0x00ff_ffff;

/// Counts instructions.
pub(crate) struct Clock;

impl Clock {
    /// Where the flash begins, as memory/cortex-m.x has it.
    pub(crate) const FLASH: usize = 0;

    /// Starts the counter. Call it once.
    pub(crate) fn start() -> Self {
        let mut clock = cortex_m::Peripherals::take().expect("taken once").SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(MASK);
        clock.clear_current();
        clock.enable_counter();
        Self
    }

    /// Instructions that `work` takes, at most 670 million.
    pub(crate) fn count(&self, work: impl FnOnce()) -> u64 {
        let start = SYST::get_current();
        work();
        u64::from(start.wrapping_sub(SYST::get_current()) & MASK) * INSTRUCTIONS
    }
}
