//! Files and command line of the machine that debugs this one, by semihosting.

use alloc::{string::String, vec, vec::Vec};
use cortex_m_semihosting::{
    nr::{
        GET_CMDLINE,
        open::{R_BINARY, W_TRUNC_BINARY},
    },
    syscall, syscall1,
};

/// Longest command line in bytes.
const LINE: usize = 1024;
/// What a call returns that fails.
const FAILED: usize = usize::MAX;

/// The words of the command line after the program's name.
pub fn words() -> Vec<String> {
    let mut line = vec![0_u8; LINE];
    let mut block = [line.as_mut_ptr() as usize, LINE];
    // SAFETY: the host writes at most `LINE` bytes to the buffer, and their number to the block.
    if unsafe { syscall1(GET_CMDLINE, &raw mut block as usize) } != 0 {
        return Vec::new();
    }
    // SAFETY: the block is ours; the host has changed it behind the compiler's back.
    let length = unsafe { core::ptr::read_volatile(&raw mut block[1]) };
    let line = String::from_utf8_lossy(&line[..length.min(LINE)]).into_owned();
    line.trim_end_matches('\0').split_whitespace().skip(1).map(String::from).collect()
}

/// All bytes of a file.
pub fn read(name: &str) -> Option<Vec<u8>> {
    let file = open(name, R_BINARY)?;
    // SAFETY: the calls take the numbers that they are documented to take, and the buffer is as long as it says.
    unsafe {
        let length = syscall!(FLEN, file);
        let mut bytes = vec![0_u8; if length == FAILED { 0 } else { length }];
        let left = syscall!(READ, file, bytes.as_mut_ptr(), bytes.len());
        syscall!(CLOSE, file);
        (length != FAILED && left == 0).then_some(bytes)
    }
}

/// Writes a file; `None` where not all of it could be.
pub fn write(name: &str, bytes: &[u8]) -> Option<()> {
    let file = open(name, W_TRUNC_BINARY)?;
    // SAFETY: as in `read`.
    let left = unsafe {
        let left = syscall!(WRITE, file, bytes.as_ptr(), bytes.len());
        syscall!(CLOSE, file);
        left
    };
    (left == 0).then_some(())
}

fn open(name: &str, mode: usize) -> Option<usize> {
    let terminated = [name.as_bytes(), b"\0"].concat();
    // SAFETY: the name ends with a zero, which its length does not count.
    let file = unsafe { syscall!(OPEN, terminated.as_ptr(), mode, name.len()) };
    (file != FAILED).then_some(file)
}
