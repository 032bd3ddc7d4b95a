//! The device that kernels run on, with accounts of its memory.

#[cfg(feature = "emulate")]
use super::emulated::{self, Command, Emulated};
use super::{
    Arg, Kernel, LaunchDims, Product,
    driver::{Driver, Executable},
};
use crate::error::DeviceError;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// First address of a planned device, and the alignment of its addresses.
const FIRST: u64 = 1 << 20;
const ALIGN: u64 = 256;

/// A GPU, a planned device or the emulated device.
pub(crate) struct GpuDevice {
    pub(super) kind: DeviceKind,
    /// Allocated bytes, and their peak.
    held: AtomicUsize,
    peak: AtomicUsize,
    /// Number of allocations freed so far.
    freed: AtomicU64,
    /// Work is recorded and not run.
    recording: AtomicBool,
    /// What was dropped while recording, and is released afterwards.
    dropped: Mutex<Vec<Dropped>>,
}

/// A resource of a device whose owner is gone. Releasing it waits for the device, which would invalidate a recording.
pub(super) enum Dropped {
    /// Address and bytes.
    Memory(u64, usize),
    Graph(Executable),
}

/// The kind of device.
pub(super) enum DeviceKind {
    /// A GPU.
    Gpu(Box<Driver>),
    /// Hands out addresses and runs nothing, to estimate memory.
    Planned(AtomicU64),
    /// Runs kernels on the host.
    #[cfg(feature = "emulate")]
    Emulated(Emulated),
}

impl GpuDevice {
    fn at(kind: DeviceKind) -> Self {
        Self {
            kind,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            freed: AtomicU64::new(0),
            recording: AtomicBool::new(false),
            dropped: Mutex::default(),
        }
    }

    /// The GPU of this ordinal.
    pub(crate) fn gpu(ordinal: usize) -> Result<Self, DeviceError> {
        Ok(Self::at(DeviceKind::Gpu(Box::new(Driver::new(ordinal)?))))
    }

    /// A device that counts allocations and runs nothing.
    pub(crate) fn planned() -> Self {
        Self::at(DeviceKind::Planned(AtomicU64::new(FIRST)))
    }

    /// The emulated device.
    #[cfg(feature = "emulate")]
    pub(crate) fn emulated() -> Self {
        Self::at(DeviceKind::Emulated(Emulated::default()))
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.name(),
            DeviceKind::Planned(_) => "planned".into(),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => "emulated".into(),
        }
    }

    /// Whether each launch is waited for, so that nothing can be recorded.
    pub(crate) fn synchronous(&self) -> bool {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.synchronous(),
            _ => false,
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

    /// Largest dynamic shared memory of a block, in bytes.
    pub(crate) fn max_shared(&self) -> usize {
        match &self.kind {
            DeviceKind::Gpu(driver) => driver.max_shared(),
            DeviceKind::Planned(_) => 227 << 10,
            #[cfg(feature = "emulate")]
            DeviceKind::Emulated(_) => 227 << 10,
        }
    }

    /// An address for this many bytes of a planned device.
    pub(super) fn plan(next: &AtomicU64, bytes: usize) -> u64 {
        next.fetch_add((bytes as u64).next_multiple_of(ALIGN).max(ALIGN), Relaxed)
    }

    /// Whether work is recorded and not run.
    pub(super) fn recording(&self) -> bool {
        self.recording.load(Relaxed)
    }

    pub(super) fn set_recording(&self, on: bool) {
        self.recording.store(on, Relaxed);
    }

    /// Releases a resource, at once or, while recording, by the next [`release_dropped`](Self::release_dropped).
    pub(super) fn release(&self, what: Dropped) {
        if let Dropped::Memory(..) = what {
            self.freed.fetch_add(1, Relaxed);
        }
        if self.recording() {
            self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        } else {
            self.release_now(&what);
        }
    }

    fn release_now(&self, what: &Dropped) {
        match (&self.kind, what) {
            (DeviceKind::Gpu(driver), &Dropped::Memory(address, _)) => driver.free(address),
            (DeviceKind::Gpu(driver), Dropped::Graph(work)) => driver.forget(work),
            #[cfg(feature = "emulate")]
            (DeviceKind::Emulated(_), &Dropped::Memory(address, bytes)) => emulated::free(address, bytes),
            _ => {}
        }
        if let Dropped::Memory(_, bytes) = what {
            self.held.fetch_sub(*bytes, Relaxed);
        }
    }

    /// Releases what was dropped while recording.
    pub(super) fn release_dropped(&self) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner));
        dropped.iter().for_each(|what| self.release_now(what));
    }

    /// An error while recording: the operation would happen once and not in replays.
    pub(super) fn refuse_while_recording(&self, what: &'static str) -> Result<(), DeviceError> {
        if self.recording() { Err(DeviceError::WhileRecording(what)) } else { Ok(()) }
    }

    /// Allocated bytes, and their peak.
    pub(crate) fn held(&self) -> [usize; 2] {
        [self.held.load(Relaxed), self.peak.load(Relaxed)]
    }

    /// Number of allocations freed so far.
    pub(super) fn freed(&self) -> u64 {
        self.freed.load(Relaxed)
    }

    /// Counts an allocation.
    pub(super) fn count_taken(&self, bytes: usize) {
        let now = self.held.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(now, Relaxed);
    }
}
