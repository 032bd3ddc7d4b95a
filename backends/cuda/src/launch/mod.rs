//! The one address of unsafe code: memory of a device, launches on it, matrix products.
//!
//! Everything else of this crate says what is to run over which addresses. The device is a GPU behind its driver, or the
//! emulated one; what lies above cannot tell them apart.

mod arg;
mod blas;
mod compile;
pub(crate) mod detect;
mod device;
mod driver;
#[cfg(feature = "emulate")]
mod emulated;
mod graph;
mod memory;
mod staging;

pub(crate) use arg::Arg;
pub(crate) use blas::Product;
pub(crate) use device::GpuDevice;
pub(crate) use graph::Graph;
pub(crate) use memory::Memory;

/// What a source is compiled with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Variant {
    /// Nothing.
    Plain,
    /// So many adjacent numbers a thread: 1, 4 or 8.
    Vec(usize),
    /// Tiles of bf16 or f32, heads of up to so many columns: 16, 32, 64 or 128.
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

/// A kernel: the stem of its source, its name, and what the source is compiled with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Kernel {
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) variant: Variant,
}

/// Blocks, threads of a block, and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaunchDims {
    pub(crate) grid: [usize; 3],
    pub(crate) threads: usize,
    pub(crate) shared: usize,
}

impl LaunchDims {
    /// As many blocks of `threads` as it takes for `count` threads.
    pub(crate) fn threads(count: usize, threads: usize) -> Self {
        Self { grid: [count.div_ceil(threads), 1, 1], threads, shared: 0 }
    }

    /// A warp for each of `count` rows, eight a block.
    pub(crate) fn warps(count: usize) -> Self {
        Self { grid: [count.div_ceil(8), 1, 1], threads: 256, shared: 0 }
    }
}
