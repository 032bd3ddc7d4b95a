//! Pinned memory of the host that uploads go through, so that none of them waits for the device.

use crate::error::DeviceError;
use cudarc::driver::{result, sys};

/// Bytes of a half: the ids of a step are far fewer. What is longer goes as it lies, and waits.
const HALF: usize = 4 << 20;
/// Starts of pieces are multiples of this.
const ALIGN: usize = 256;

/// Two halves that take turns: while copies from one are under way, the other is filled. A half is filled again when the copies
/// from it have been made, which an event tells; a training step sends some hundred kilobytes, so that this is many steps ago.
pub(super) struct Staging {
    start: *mut u8,
    /// Recorded behind the last copy from each half.
    sent: [sys::CUevent; 2],
    /// The half that is filled, and how far.
    half: usize,
    used: usize,
}

impl Staging {
    pub(super) fn new() -> Result<Self, DeviceError> {
        // SAFETY: the driver gives so many bytes, which `free` gives back; they are written before they are read.
        let start = unsafe { result::malloc_host(2 * HALF, 0) }.map_err(DeviceError::driver)?.cast();
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(DeviceError::driver);
        Ok(Self { start, sent: [event()?, event()?], half: 0, used: 0 })
    }

    /// Queues a copy; `from` is free on return.
    pub(super) fn upload(&mut self, from: &[u8], to: u64, stream: sys::CUstream) -> Result<(), DeviceError> {
        if from.len() > HALF {
            // SAFETY: the memory has as many bytes. The driver has read pageable memory when it returns.
            return unsafe { result::memcpy_htod_async(to, from, stream) }.map_err(DeviceError::driver);
        }
        // SAFETY: the piece lies within its half, which no copy reads any more; events and stream live as long as this.
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

    /// Gives all of it back; the driver calls this once, when nothing is under way.
    pub(super) fn free(&self) {
        // SAFETY: all are this one's own, and nobody uses them after it.
        unsafe {
            let _ = result::free_host(self.start.cast());
            for event in self.sent {
                let _ = result::event::destroy(event);
            }
        }
    }
}
