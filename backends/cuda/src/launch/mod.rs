//! All unsafe code of this crate: device memory, kernel launches, matrix products.
//!
//! The rest of the crate passes kernels and addresses. The device is a GPU through its driver, or the emulated one, behind
//! one interface.

mod arg;
mod blas;
pub(crate) mod compile;
pub(crate) mod detect;
mod device;
mod driver;
#[cfg(feature = "emulate")]
mod emulated;
mod graph;
mod images;
mod memory;
mod sources;
mod staging;
mod toolkit;

pub(crate) use arg::Arg;
pub(crate) use blas::Product;
pub(crate) use device::GpuDevice;
pub(crate) use graph::Graph;
pub(crate) use memory::Memory;

/// The defines that a source is compiled with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Variant {
    /// None.
    Plain,
    /// Adjacent elements per vector load of a thread: 1, 4 or 8.
    Vec(usize),
    /// Tiles of bf16 (or f32), for heads of up to this many columns: 16, 32, 64 or 128.
    Head(bool, usize),
}

impl Variant {
    /// The defines, separated by spaces.
    pub(crate) fn defines(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Vec(n) => format!("VEC={n}"),
            Self::Head(bf16, head) => format!("REAL={} HEAD={head}", if bf16 { "bf16" } else { "float" }),
        }
    }
}

/// A kernel: the stem of its source file, its name, and its variant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Kernel {
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) variant: Variant,
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel {} of {}.cu ({})", self.name, self.source, self.variant.defines())
    }
}

/// Grid of blocks, threads per block, and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaunchDims {
    pub(crate) grid: [usize; 3],
    pub(crate) threads: usize,
    pub(crate) shared: usize,
}

impl std::fmt::Display for LaunchDims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([x, y, z], Self { threads, shared, .. }) = (self.grid, self);
        write!(f, "{x} x {y} x {z} blocks of {threads} threads and {shared} bytes")
    }
}

impl LaunchDims {
    /// Enough blocks of `threads` for `count` threads.
    pub(crate) fn threads(count: usize, threads: usize) -> Self {
        Self { grid: [count.div_ceil(threads), 1, 1], threads, shared: 0 }
    }

    /// One warp for each of `count` rows, eight per block.
    pub(crate) fn warps(count: usize) -> Self {
        Self { grid: [count.div_ceil(8), 1, 1], threads: 256, shared: 0 }
    }
}
