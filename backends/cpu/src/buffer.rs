//! Memory of tensors.
//!
//! Decoding reads every weight once per token; with pages of 4 KiB, address translation takes a third as long as the
//! memory traffic. Where the system has huge pages, tensors are cut from chunks of memory that request them.

use crate::error::OutOfMemory;
use alloc::{vec, vec::Vec};

/// Types for which memory of zero bytes is a valid value.
pub trait Zeroable: Copy + Default {}
impl Zeroable for f32 {}
impl Zeroable for f64 {}
impl Zeroable for u8 {}
impl Zeroable for [u8; 2] {}

/// Elements of one tensor: its own, initially zeros, or those of memory that stays.
pub(crate) struct Buffer<N: 'static>(Storage<N>);

enum Storage<N: 'static> {
    Owned(Vec<N>),
    Borrowed(&'static [N]),
    #[cfg(all(feature = "std", target_os = "linux"))]
    Chunk(chunk::Part<N>),
}

impl<N: 'static> core::ops::Deref for Buffer<N> {
    type Target = [N];
    #[inline(always)]
    fn deref(&self) -> &[N] {
        match &self.0 {
            Storage::Owned(numbers) => numbers,
            Storage::Borrowed(numbers) => numbers,
            #[cfg(all(feature = "std", target_os = "linux"))]
            Storage::Chunk(part) => part.get(),
        }
    }
}

impl<N: 'static> core::ops::DerefMut for Buffer<N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [N] {
        match &mut self.0 {
            Storage::Owned(numbers) => numbers,
            Storage::Borrowed(_) => panic!("a weight that is read in place cannot be written"),
            #[cfg(all(feature = "std", target_os = "linux"))]
            Storage::Chunk(part) => part.get_mut(),
        }
    }
}

impl<N: 'static> Buffer<N> {
    /// Elements of memory that stays.
    pub(crate) fn borrowed(numbers: &'static [N]) -> Self {
        Self(Storage::Borrowed(numbers))
    }
}

impl<N: Clone + 'static> Clone for Buffer<N> {
    fn clone(&self) -> Self {
        Self(Storage::Owned(self.to_vec()))
    }
}

impl<N: core::fmt::Debug + 'static> core::fmt::Debug for Buffer<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

/// A new vector of `count` zeros.
pub(crate) fn zeroed<N: Copy + Default>(count: usize) -> Result<Vec<N>, OutOfMemory> {
    let bytes = count.saturating_mul(size_of::<N>());
    // `try_reserve` reports a failure instead of aborting; `vec!` then maps zeroed pages, which are free until touched.
    Vec::<N>::new().try_reserve_exact(count).map_err(|_| OutOfMemory(bytes))?;
    Ok(vec![N::default(); count])
}

/// An allocator of tensor memory. A chunk is freed once all of its tensors are dropped; the newest chunk is then reused.
#[derive(Default)]
pub(crate) struct Arena {
    #[cfg(all(feature = "std", target_os = "linux"))]
    chunks: chunk::Chunks,
}

impl Arena {
    /// A buffer of `count` zeros.
    pub(crate) fn zeros<N: Zeroable>(&mut self, count: usize) -> Result<Buffer<N>, OutOfMemory> {
        #[cfg(all(feature = "std", target_os = "linux"))]
        if let Some(part) = self.chunks.part(count) {
            return Ok(Buffer(Storage::Chunk(part)));
        }
        Ok(Buffer(Storage::Owned(zeroed(count)?)))
    }
}

#[cfg(all(feature = "std", target_os = "linux"))]
mod chunk {
    use core::{marker::PhantomData, ptr::NonNull};
    use memmap2::{Advice, MmapMut, MmapOptions};
    use std::sync::Arc;

    /// Bytes of a huge page.
    const PAGE: usize = 2 << 20;
    /// Largest chunk in bytes, unless a tensor is larger. Unused pages of the last chunk are never touched.
    const LARGEST: usize = 64 << 20;
    /// Alignment of tensors in bytes: a cache line.
    const ALIGN: usize = 64;

    #[derive(Default)]
    pub(super) struct Chunks {
        /// The newest chunk, and how many of its bytes are used.
        newest: Option<(Arc<MmapMut>, usize)>,
        /// Bytes requested so far.
        total: usize,
    }

    impl Chunks {
        /// Memory for `count` elements; `None` while the total is below one huge page, or if the mapping fails.
        pub(super) fn part<N: super::Zeroable>(&mut self, count: usize) -> Option<Part<N>> {
            let bytes = count.checked_mul(size_of::<N>())?.checked_next_multiple_of(ALIGN)?;
            self.total = self.total.saturating_add(bytes);
            if self.total < PAGE {
                return None;
            }
            if let Some((chunk, used)) = &mut self.newest
                && let Some(chunk) = Arc::get_mut(chunk)
            {
                // All tensors of the chunk were dropped.
                let start = chunk.as_ptr().align_offset(PAGE);
                chunk[start..*used].fill(0);
                *used = start;
            }
            if self.newest.as_ref().is_none_or(|(chunk, used)| chunk.len() - used < bytes) {
                // One page more, so that the chunk contains whole pages at any start address.
                let len = bytes.max(self.total.min(LARGEST)).checked_next_multiple_of(PAGE)?.checked_add(PAGE)?;
                let chunk = MmapOptions::new().len(len).map_anon().ok()?;
                // Without huge pages the system falls back to ordinary ones.
                let _ = chunk.advise(Advice::HugePage);
                let used = chunk.as_ptr().align_offset(PAGE);
                self.newest = Some((Arc::new(chunk), used));
            }
            let (chunk, used) = self.newest.as_mut()?;
            // SAFETY: the offset is inside the chunk.
            let start = unsafe { NonNull::new(chunk.as_ptr().cast_mut().add(*used))? }.cast();
            *used += bytes;
            Some(Part { start, count, _chunk: chunk.clone(), owns: PhantomData })
        }
    }

    /// Elements in a chunk, exclusive to this part.
    pub(super) struct Part<N> {
        start: NonNull<N>,
        count: usize,
        /// Keeps the memory mapped.
        _chunk: Arc<MmapMut>,
        owns: PhantomData<N>,
    }

    impl<N> Part<N> {
        #[inline(always)]
        pub(super) fn get(&self) -> &[N] {
            // SAFETY: `part` made these bytes exclusive to this value and zero, which `Zeroable` allows.
            unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
        }

        #[inline(always)]
        pub(super) fn get_mut(&mut self) -> &mut [N] {
            // SAFETY: as above.
            unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
        }
    }

    // SAFETY: it owns its elements, as a Vec does.
    unsafe impl<N: Send> Send for Part<N> {}
    unsafe impl<N: Sync> Sync for Part<N> {}
}

#[cfg(all(test, feature = "std", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_is_reused_as_zeros() {
        const COUNT: usize = 1 << 20;
        let mut arena = Arena::default();
        let mut first = arena.zeros::<f32>(COUNT).expect("4 MB");
        let at = first.as_ptr();
        for _ in 0..3 {
            first.fill(1.0);
            drop(first);
            first = arena.zeros(COUNT).expect("4 MB");
            assert!(first.as_ptr() == at && first.iter().all(|&x| x == 0.0));
        }
        // Memory in use is not handed out a second time.
        first.fill(1.0);
        let second = arena.zeros::<f32>(COUNT).expect("4 MB");
        assert!(first.iter().all(|&x| x == 1.0) && second.iter().all(|&x| x == 0.0));
    }
}
