//! The one address of unsafe code: memory of a machine, launches on it, matrix products.
//!
//! Everything else of this crate says what is to run over which addresses. The machine is a GPU behind its driver, or the
//! emulated one; what lies above cannot tell them apart.

mod arg;
mod blas;
mod compile;
mod driver;
#[cfg(feature = "emulate")]
mod emulated;
pub(crate) mod probe;

pub(crate) use arg::Arg;
pub(crate) use blas::Product;

use crate::fault::Fault;
use std::sync::Arc;

/// What a source is compiled with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Variant {
    /// Nothing.
    Plain,
    /// So many adjacent numbers a thread: 1, 4 or 8.
    Lanes(usize),
    /// Tiles of bf16 or f32, heads of up to so many columns: 16, 32, 64 or 128.
    Head(bool, usize),
}

impl Variant {
    /// The defines, separated by spaces.
    pub(crate) fn defines(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Lanes(n) => format!("LANES={n}"),
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
pub(crate) struct Extent {
    pub(crate) grid: [usize; 3],
    pub(crate) threads: usize,
    pub(crate) shared: usize,
}

impl Extent {
    /// As many blocks of `threads` as it takes for `count` threads.
    pub(crate) fn threads(count: usize, threads: usize) -> Self {
        Self { grid: [count.div_ceil(threads), 1, 1], threads, shared: 0 }
    }

    /// A warp for each of `count` rows, eight a block.
    pub(crate) fn warps(count: usize) -> Self {
        Self { grid: [count.div_ceil(8), 1, 1], threads: 256, shared: 0 }
    }
}

/// Where kernels run.
pub(crate) enum Machine {
    /// A GPU.
    Gpu(driver::Driver),
    /// The host, pretending to be one.
    #[cfg(feature = "emulate")]
    Emulated,
}

impl Machine {
    /// The GPU of that number.
    pub(crate) fn gpu(ordinal: usize) -> Result<Self, Fault> {
        Ok(Self::Gpu(driver::Driver::new(ordinal)?))
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Gpu(driver) => driver.name(),
            #[cfg(feature = "emulate")]
            Self::Emulated => "emulated".into(),
        }
    }

    /// Queues a kernel.
    pub(crate) fn launch(&self, kernel: Kernel, extent: Extent, args: &[Arg]) -> Result<(), Fault> {
        match self {
            Self::Gpu(driver) => driver.launch(kernel, extent, args),
            #[cfg(feature = "emulate")]
            Self::Emulated => emulated::launch(kernel, extent, args),
        }
    }

    /// Queues a matrix product.
    pub(crate) fn product(&self, product: &Product) -> Result<(), Fault> {
        match self {
            Self::Gpu(driver) => driver.product(product),
            #[cfg(feature = "emulate")]
            Self::Emulated => {
                emulated::product(product);
                Ok(())
            }
        }
    }

    /// Most bytes of dynamic shared memory of a block.
    pub(crate) fn most_shared(&self) -> usize {
        match self {
            Self::Gpu(driver) => driver.most_shared(),
            #[cfg(feature = "emulate")]
            Self::Emulated => 227 << 10,
        }
    }
}

/// Memory of a machine; freed when dropped.
pub(crate) struct Memory {
    machine: Arc<Machine>,
    address: u64,
    bytes: usize,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes on {}", self.bytes, self.machine.name())
    }
}

impl Memory {
    /// New memory of the machine; its start is a multiple of 256. All zeros, but `scratch` of the emulated machine, which is poisoned.
    pub(crate) fn new(machine: &Arc<Machine>, bytes: usize) -> Result<Self, Fault> {
        let address = match &**machine {
            Machine::Gpu(driver) => driver.alloc(bytes)?,
            #[cfg(feature = "emulate")]
            Machine::Emulated => emulated::alloc(bytes),
        };
        Ok(Self { machine: machine.clone(), address, bytes })
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies from the host; the host's slice is free on return.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub(crate) fn upload(&mut self, from: &[u8]) -> Result<(), Fault> {
        assert_eq!(from.len(), self.bytes, "bytes to upload");
        match &*self.machine {
            Machine::Gpu(driver) => driver.upload(from, self.address),
            #[cfg(feature = "emulate")]
            Machine::Emulated => {
                emulated::upload(from, self.address);
                Ok(())
            }
        }
    }

    /// Waits for all that is queued, then copies to the host.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub(crate) fn download(&self, to: &mut [u8]) -> Result<(), Fault> {
        assert_eq!(to.len(), self.bytes, "bytes to download");
        match &*self.machine {
            Machine::Gpu(driver) => driver.download(self.address, to),
            #[cfg(feature = "emulate")]
            Machine::Emulated => {
                emulated::download(self.address, to);
                Ok(())
            }
        }
    }

    /// Makes what was left there unreadable, where the machine can tell.
    pub(crate) fn poison(&mut self) {
        match &*self.machine {
            Machine::Gpu(_) => {}
            #[cfg(feature = "emulate")]
            Machine::Emulated => emulated::poison(self.address, self.bytes),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &*self.machine {
            Machine::Gpu(driver) => driver.free(self.address),
            #[cfg(feature = "emulate")]
            Machine::Emulated => emulated::free(self.address, self.bytes),
        }
    }
}
