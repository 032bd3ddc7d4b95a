//! What differs between the microcontrollers: where they start, and how they count instructions; and memory, which the linker
//! scripts of both describe with the same symbols.

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(target_arch = "riscv32")]
mod riscv;

#[cfg(target_arch = "arm")]
pub(crate) use cortex_m::Clock;
#[cfg(target_arch = "riscv32")]
pub(crate) use riscv::Clock;

/// Content of stack that was never used.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes below the current frame that are not painted, since they are in use.
const IN_USE: usize = 256;

unsafe extern "C" {
    /// Behind all static variables.
    static __sheap: u32;
    /// The highest address of the stack, which grows down.
    static _stack_start: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
}

/// Bytes of code and constants.
pub(crate) fn flash() -> usize {
    let at = |symbol: *const u32| symbol as usize;
    at(&raw const __sidata) - Clock::FLASH + at(&raw const __edata) - at(&raw const __sdata)
}

/// Fills the stack that is not used yet. Call it first.
#[inline(never)]
pub(crate) fn paint_stack() {
    let here = 0_u32;
    let (mut at, end) = (&raw const __sheap as usize, (&raw const here) as usize - IN_USE);
    while at < end {
        // SAFETY: between the static variables and the frames in use there is nothing.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
        at += size_of::<u32>();
    }
}

/// The most bytes of stack that were in use since it was painted.
pub(crate) fn stack() -> usize {
    let (mut at, top) = (&raw const __sheap, &raw const _stack_start);
    // SAFETY: the addresses are between the linker's symbols.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    top as usize - at as usize
}
