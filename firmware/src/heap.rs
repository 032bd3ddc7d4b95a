//! The global allocator, with usage counters.

use core::{
    alloc::{GlobalAlloc, Layout},
    mem::MaybeUninit,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use embedded_alloc::LlffHeap;

/// Size of the heap in bytes.
const SIZE: usize = 256 << 10;

static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];

/// An allocator that counts calls and peak usage.
struct Heap {
    inner: LlffHeap,
    peak: AtomicUsize,
    calls: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { inner: LlffHeap::empty(), peak: AtomicUsize::new(0), calls: AtomicUsize::new(0) };

// SAFETY: every call is forwarded to the inner allocator.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let at = unsafe { self.inner.alloc(layout) };
        self.peak.fetch_max(self.inner.used(), Relaxed);
        self.calls.fetch_add(1, Relaxed);
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(at, layout) }
    }
}

/// Initialises the heap. Must be called once, before any allocation.
pub(crate) fn begin() {
    // SAFETY: called once, and MEMORY is not used elsewhere.
    unsafe { HEAP.inner.init(&raw mut MEMORY as usize, SIZE) }
}

/// Bytes in use, peak bytes in use, and number of allocations so far.
pub(crate) fn count() -> [usize; 3] {
    [HEAP.inner.used(), HEAP.peak.load(Relaxed), HEAP.calls.load(Relaxed)]
}
