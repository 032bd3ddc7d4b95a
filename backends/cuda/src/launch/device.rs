//! The device that kernels run on, and what it keeps an account of.

#[cfg(feature = "emulate")]
use super::emulated::{Command, Emulated};
use super::{Arg, Kernel, LaunchDims, Product, driver::Driver};
use crate::error::DeviceError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// First address of a device that nothing runs on, and what all its addresses are multiples of.
const FIRST: u64 = 1 << 20;
const ALIGN: u64 = 256;

/// A GPU, or what pretends to be one.
pub(crate) struct GpuDevice {
    pub(super) kind: DeviceKind,
    /// Bytes that are held, and the most that ever were.
    held: AtomicUsize,
    most: AtomicUsize,
    /// Pieces of memory that were given back.
    freed: AtomicU64,
    /// What is queued is kept and not run.
    recording: AtomicBool,
}

/// Where kernels run.
pub(super) enum DeviceKind {
    /// A GPU.
    Gpu(Box<Driver>),
    /// Nowhere: it gives addresses, and does nothing.
    Planned(AtomicU64),
    /// The host.
    #[cfg(feature = "emulate")]
    Emulated(Emulated),
}

impl GpuDevice {
    fn at(kind: DeviceKind) -> Self {
        Self { kind, held: AtomicUsize::new(0), most: AtomicUsize::new(0), freed: AtomicU64::new(0), recording: AtomicBool::new(false) }
    }

    /// The GPU of that number.
    pub(crate) fn gpu(ordinal: usize) -> Result<Self, DeviceError> {
        Ok(Self::at(DeviceKind::Gpu(Box::new(Driver::new(ordinal)?))))
    }

    /// One that nothing runs on, which counts the memory that it is asked for.
    pub(crate) fn planned() -> Self {
        Self::at(DeviceKind::Planned(AtomicU64::new(FIRST)))
    }

    /// The emulated one.
    #[cfg(feature = "emulate")]
    pub(crate) fn emulated() -> Self {
        Self::at(DeviceKind::Emulated(Emulated::default()))
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.name(),
            DeviceKind::Planned(_) => "planned".into(),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => "emulated".into(),
        }
    }

    /// Queues a kernel.
    pub(crate) fn launch(&self, kernel: Kernel, launch_dims: LaunchDims, args: &[Arg]) -> Result<(), DeviceError> {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.launch(kernel, launch_dims, args),
            DeviceKind::Planned(_) => Ok(()),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => host.queue(Command::Launch(kernel, launch_dims, args.to_vec()), self.recording()),
        }
    }

    /// Queues a matrix product.
    pub(crate) fn product(&self, product: &Product) -> Result<(), DeviceError> {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.product(product),
            DeviceKind::Planned(_) => Ok(()),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(host) => host.queue(Command::Product(*product), self.recording()),
        }
    }

    /// Most bytes of dynamic shared memory of a block.
    pub(crate) fn max_shared(&self) -> usize {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.max_shared(),
            DeviceKind::Planned(_) => 227 << 10,
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => 227 << 10,
        }
    }

    /// An address for so many bytes, where nothing runs.
    pub(super) fn plan(next: &AtomicU64, bytes: usize) -> u64 {
        next.fetch_add((bytes as u64).next_multiple_of(ALIGN).max(ALIGN), Relaxed)
    }

    /// Whether what is queued is kept and not run.
    pub(super) fn recording(&self) -> bool {
        self.recording.load(Relaxed)
    }

    pub(super) fn set_recording(&self, on: bool) {
        self.recording.store(on, Relaxed);
    }

    /// Says no while work is recorded: it would be done now, and not again when the work is replayed.
    pub(super) fn refuse_while_recording(&self, what: &'static str) -> Result<(), DeviceError> {
        if self.recording() { Err(DeviceError::WhileRecording(what)) } else { Ok(()) }
    }

    /// Bytes that are held, and the most that ever were.
    pub(crate) fn held(&self) -> [usize; 2] {
        [self.held.load(Relaxed), self.most.load(Relaxed)]
    }

    /// How many pieces of memory have been given back.
    pub(super) fn freed(&self) -> u64 {
        self.freed.load(Relaxed)
    }

    pub(super) fn count_taken(&self, bytes: usize) {
        let now = self.held.fetch_add(bytes, Relaxed) + bytes;
        self.most.fetch_max(now, Relaxed);
    }

    pub(super) fn count_freed(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
        self.freed.fetch_add(1, Relaxed);
    }
}
