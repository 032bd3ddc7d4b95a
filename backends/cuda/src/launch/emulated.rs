//! The emulated device: host memory, kernels compiled as C++, and a matrix product as a plain loop.
//!
//! Queued commands run immediately or, while recording, are stored in a list that runs later, like a graph.

use super::{Arg, Kernel, LaunchDims, Product};
use crate::{error::DeviceError, tensor::Mat};
use std::{
    alloc::{Layout, dealloc},
    ffi::{CStr, CString, c_char, c_void},
    sync::{Mutex, PoisonError},
};

unsafe extern "C" {
    fn hh_emulate_launch(
        name: *const c_char,
        variant: *const c_char,
        grid: *const u32,
        threads: u32,
        shared: usize,
        args: *const *const c_void,
        sizes: *const usize,
        count: usize,
    ) -> *const c_char;
}

/// Guard bytes before and after each allocation; all ones, NaN in f32 and bf16.
const GUARD: usize = 256;
const POISON: u8 = 0xff;

/// A queued operation.
pub(super) enum Command {
    Launch(Kernel, LaunchDims, Vec<Arg>),
    Product(Product),
    /// Fills this many bytes from an address on with NaN.
    Poison(u64, usize),
}

impl Command {
    pub(super) fn run(&self) -> Result<(), DeviceError> {
        match self {
            Self::Launch(kernel, launch_dims, args) => return launch(*kernel, *launch_dims, args),
            Self::Product(of) => product(of),
            Self::Poison(address, bytes) => poison(*address, *bytes),
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Emulated {
    recorded: Mutex<Vec<Command>>,
}

impl Emulated {
    /// Runs a command, or records it.
    pub(super) fn queue(&self, command: Command, recording: bool) -> Result<(), DeviceError> {
        if !recording {
            return command.run();
        }
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        Ok(())
    }

    /// Takes the recorded commands.
    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + 2 * GUARD, GUARD).expect("a size that fits the address space")
}

/// Zeros, with guards around them.
pub(super) fn alloc(bytes: usize) -> u64 {
    // SAFETY: the layout has a size; all of it is written before it is read.
    unsafe {
        let start = std::alloc::alloc(layout(bytes));
        assert!(!start.is_null(), "cannot allocate {bytes} bytes");
        start.write_bytes(POISON, bytes + 2 * GUARD);
        start.add(GUARD).write_bytes(0, bytes);
        start.add(GUARD) as u64
    }
}

/// # Panics
/// If a kernel has written outside of the memory.
pub(super) fn free(address: u64, bytes: usize) {
    let start = (address as *mut u8).wrapping_sub(GUARD);
    // SAFETY: `address` came from `alloc` with the same size, and is freed once.
    unsafe {
        let around = [std::slice::from_raw_parts(start, GUARD), std::slice::from_raw_parts(start.add(GUARD + bytes), GUARD)];
        let whole = around.iter().all(|guard| guard.iter().all(|&b| b == POISON));
        dealloc(start, layout(bytes));
        assert!(whole || std::thread::panicking(), "a kernel wrote outside of {bytes} bytes");
    }
}

pub(super) fn upload(from: &[u8], to: u64) {
    // SAFETY: the memory has at least as many bytes, and does not overlap the slice.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) }
}

pub(super) fn download(from: u64, to: &mut [u8]) {
    // SAFETY: as in `upload`.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) }
}

fn poison(address: u64, bytes: usize) {
    // SAFETY: the memory has at least as many bytes.
    unsafe { (address as *mut u8).write_bytes(POISON, bytes) }
}

fn launch(kernel: Kernel, launch_dims: LaunchDims, args: &[Arg]) -> Result<(), DeviceError> {
    let [name, variant] = [kernel.name.to_owned(), kernel.variant.defines()].map(|s| CString::new(s).expect("no zeros in names"));
    let grid = launch_dims.grid.map(|n| n as u32);
    let (addresses, sizes): (Vec<_>, Vec<_>) = args.iter().map(|arg| (arg.address(), arg.len())).unzip();
    // SAFETY: the callee checks number and sizes of the arguments against the kernel's parameters; addresses among them are
    // of memory allocated here, whose guards detect writes outside.
    let message = unsafe {
        hh_emulate_launch(
            name.as_ptr(),
            variant.as_ptr(),
            grid.as_ptr(),
            launch_dims.threads as u32,
            launch_dims.shared,
            addresses.as_ptr(),
            sizes.as_ptr(),
            args.len(),
        )
    };
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the message is zero-terminated and valid until the next launch on this thread.
    Err(DeviceError::Driver(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()))
}

fn get(m: Mat, row: usize, column: usize) -> f32 {
    let i = row * m.stride + column;
    // SAFETY: the matrices of a product have the extents that it states.
    unsafe { if m.bf16 { f32::from_bits(u32::from(*(m.address as *const u16).add(i)) << 16) } else { *(m.address as *const f32).add(i) } }
}

fn put(m: Mat, row: usize, column: usize, x: f32) {
    let i = row * m.stride + column;
    // SAFETY: as above.
    unsafe { if m.bf16 { *(m.address as *mut u16).add(i) = hh_core::half::f32_to_bf16(x) } else { *(m.address as *mut f32).add(i) = x } }
}

fn product(p: &Product) {
    for row in 0..p.rows {
        for column in 0..p.columns {
            let mut sum = 0.0;
            for i in 0..p.inner {
                let a = if p.transpose_a { get(p.a, i, row) } else { get(p.a, row, i) };
                let b = if p.transpose_b { get(p.b, column, i) } else { get(p.b, i, column) };
                sum += a * b;
            }
            sum += p.bias.map_or(0.0, |bias| get(bias, 0, column)) + p.add.map_or(0.0, |add| get(add, row, column));
            put(p.to, row, column, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    //! The emulated device detects the faults of the kernels in planted.cpp.
    use super::*;
    use crate::launch::{GpuDevice, Memory, Variant};
    use std::sync::Arc;

    const THREADS: usize = 64;

    /// The output of a planted kernel, of `count` floats.
    fn run(name: &'static str, count: usize) -> Result<Vec<f32>, DeviceError> {
        let memory = Memory::new(&Arc::new(GpuDevice::emulated()), 4 * count)?;
        let kernel = Kernel { source: "planted", name, variant: Variant::Plain };
        launch(kernel, LaunchDims { grid: [1, 1, 1], threads: THREADS, shared: 4 * THREADS }, &[memory.address().into()])?;
        let mut bytes = vec![0; 4 * count];
        memory.download(&mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_ne_bytes(b)).collect())
    }

    #[test]
    fn a_barrier_makes_writes_of_other_warps_visible() {
        let expected: Vec<f32> = (0..THREADS).map(|i| (i ^ 33) as f32).collect();
        for _ in 0..16 {
            assert_eq!(run("planted_none", THREADS).unwrap(), expected);
            assert_eq!(run("planted_copied", THREADS).unwrap(), expected);
        }
    }

    #[test]
    fn a_missing_barrier_and_a_missing_wait_are_detected() {
        let expected = run("planted_none", THREADS).unwrap();
        for name in ["planted_no_barrier", "planted_no_second_barrier", "planted_not_waited_for", "planted_waited_alone"] {
            let wrong = (0..16).filter(|_| run(name, THREADS).unwrap() != expected).count();
            assert!(wrong >= 15, "{name} was correct {} times of 16", 16 - wrong);
        }
    }

    #[test]
    fn the_result_of_a_race_changes_from_launch_to_launch() {
        let all: Vec<_> = (0..16).map(|_| run("planted_last_wins", 1).unwrap()).collect();
        assert!(all.iter().any(|found| *found != all[0]), "{all:?}");
    }

    #[test]
    fn unwritten_shared_memory_is_nan() {
        assert!(run("planted_unwritten", THREADS).unwrap().iter().all(|x| x.is_nan()));
    }

    #[test]
    fn a_barrier_that_some_threads_never_reach_is_an_error() {
        let said = run("planted_divergent", THREADS).unwrap_err().to_string();
        assert!(said.contains("planted_divergent") && said.contains("barrier"), "{said}");
    }

    #[test]
    fn a_write_beyond_shared_memory_is_an_error() {
        let said = run("planted_beyond_shared", THREADS).unwrap_err().to_string();
        assert!(said.contains("beyond its shared memory"), "{said}");
    }

    #[test]
    #[should_panic(expected = "a kernel wrote outside of 252 bytes")]
    fn a_write_outside_of_memory_panics_when_it_is_freed() {
        let _ = run("planted_none", THREADS - 1);
    }

    #[test]
    fn an_argument_of_the_wrong_size_is_an_error() {
        let kernel = Kernel { source: "planted", name: "planted_none", variant: Variant::Plain };
        let said = launch(kernel, LaunchDims::threads(1, 32), &[1.0f32.into()]).unwrap_err().to_string();
        assert!(said.contains("argument 0") && said.contains("8 bytes, not 4"), "{said}");
    }
}
