//! A pinned staging buffer for uploads, so that they do not wait for the device.

use crate::error::DeviceError;
use cudarc::driver::{result, sys};

/// Bytes of a half, far more than the ids of a step. Larger uploads bypass the buffer and block.
const HALF: usize = 4 << 20;
/// Alignment of uploads within the buffer.
const ALIGN: usize = 256;

/// A double buffer: while copies from one half are in flight, the other is filled. A half is reused once an event reports that
/// its copies have finished; a training step uploads a few hundred kilobytes, so that this is many steps later.
pub(super) struct Staging {
    start: *mut u8,
    /// Recorded after the last copy from each half.
    sent: [sys::CUevent; 2],
    /// The half that is being filled, and its used bytes.
    half: usize,
    used: usize,
}

impl Staging {
    pub(super) fn new() -> Result<Self, DeviceError> {
        // SAFETY: `free` frees the allocation; it is written before it is read.
        let start = unsafe { result::malloc_host(2 * HALF, 0) }.map_err(DeviceError::driver)?.cast();
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(DeviceError::driver);
        Ok(Self { start, sent: [event()?, event()?], half: 0, used: 0 })
    }

    /// Queues a copy; `from` may be reused on return.
    pub(super) fn upload(&mut self, from: &[u8], to: u64, stream: sys::CUstream) -> Result<(), DeviceError> {
        if from.len() > HALF {
            // SAFETY: the memory has as many bytes, and the driver has read pageable memory when the call returns.
            return unsafe { result::memcpy_htod_async(to, from, stream) }.map_err(DeviceError::driver);
        }
        // SAFETY: the slice is within its half, from which no copy is in flight; events and stream outlive this.
        unsafe {
            if self.used + from.len() > HALF {
                result::event::record(self.sent[self.half], stream).map_err(DeviceError::driver)?;
                self.half = 1 - self.half;
                self.used = 0;
                result::event::synchronize(self.sent[self.half]).map_err(DeviceError::driver)?;
            }
            let piece = std::slice::from_raw_parts_mut(self.start.add(self.half * HALF + self.used), from.len());
            piece.copy_from_slice(from);
            self.used = (self.used + from.len()).next_multiple_of(ALIGN);
            result::memcpy_htod_async(to, piece, stream).map_err(DeviceError::driver)
        }
    }

    /// Frees the buffer; the driver calls this once, when no copy is in flight.
    pub(super) fn free(&self) {
        // SAFETY: this owns all of them, and they are not used afterwards.
        unsafe {
            let _ = result::free_host(self.start.cast());
            for event in self.sent {
                let _ = result::event::destroy(event);
            }
        }
    }
}
