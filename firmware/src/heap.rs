//! The heap, and how much of it was ever in use.

use core::{
    alloc::{GlobalAlloc, Layout},
    mem::MaybeUninit,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use embedded_alloc::LlffHeap;

/// Bytes that the heap may have.
const SIZE: usize = 256 << 10;

static mut ROOM: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];

/// A heap that counts.
struct Heap {
    inner: LlffHeap,
    peak: AtomicUsize,
    calls: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { inner: LlffHeap::empty(), peak: AtomicUsize::new(0), calls: AtomicUsize::new(0) };

// SAFETY: it hands every call on, and counts.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let at = unsafe { self.inner.alloc(layout) };
        self.peak.fetch_max(self.inner.used(), Relaxed);
        self.calls.fetch_add(1, Relaxed);
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { self.inner.dealloc(at, layout) }
    }
}

/// Must be called once, before anything is allocated.
pub(crate) fn begin() {
    // SAFETY: called once, and nobody else names ROOM.
    unsafe { HEAP.inner.init(&raw mut ROOM as usize, SIZE) }
}

/// Bytes in use, the most that ever were, and calls so far.
pub(crate) fn count() -> [usize; 3] {
    [HEAP.inner.used(), HEAP.peak.load(Relaxed), HEAP.calls.load(Relaxed)]
}
