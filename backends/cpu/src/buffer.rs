//! Where tensors lie.
//!
//! Decoding reads every weight once a token, and on pages of 4 KiB the translation of addresses takes a third of the
//! time that memory takes. So where the system has huge pages, tensors share chunks of memory that ask for them.

use crate::error::OutOfMemory;
use alloc::{vec, vec::Vec};

/// What memory of zeros may be read as.
pub trait Number: Copy + Default {}
impl Number for f32 {}
impl Number for f64 {}
impl Number for u8 {}
impl Number for [u8; 2] {}

/// Numbers that one tensor owns; zeros at first.
pub(crate) struct Buffer<N>(Storage<N>);

enum Storage<N> {
    Owned(Vec<N>),
    #[cfg(all(feature = "std", target_os = "linux"))]
    Chunk(chunk::Part<N>),
}

impl<N> core::ops::Deref for Buffer<N> {
    type Target = [N];
    #[inline(always)]
    fn deref(&self) -> &[N] {
        match &self.0 {
            Storage::Owned(numbers) => numbers,
            #[cfg(all(feature = "std", target_os = "linux"))]
            Storage::Chunk(part) => part.get(),
        }
    }
}

impl<N> core::ops::DerefMut for Buffer<N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [N] {
        match &mut self.0 {
            Storage::Owned(numbers) => numbers,
            #[cfg(all(feature = "std", target_os = "linux"))]
            Storage::Chunk(part) => part.get_mut(),
        }
    }
}

impl<N: Clone> Clone for Buffer<N> {
    fn clone(&self) -> Self {
        Self(Storage::Owned(self.to_vec()))
    }
}

impl<N: core::fmt::Debug> core::fmt::Debug for Buffer<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

/// Memory of its own for `count` numbers.
pub(crate) fn own<N: Copy + Default>(count: usize) -> Result<Vec<N>, OutOfMemory> {
    let bytes = count.saturating_mul(size_of::<N>());
    // `try_reserve` asks first; `vec!` then takes zeroed pages, which cost nothing until they are touched.
    Vec::<N>::new().try_reserve_exact(count).map_err(|_| OutOfMemory(bytes))?;
    Ok(vec![N::default(); count])
}

/// Hands out memory: a chunk is free when all tensors in it are, and the newest one is then handed out again.
#[derive(Default)]
pub(crate) struct Arena {
    #[cfg(all(feature = "std", target_os = "linux"))]
    chunks: chunk::Chunks,
}

impl Arena {
    /// Zeros.
    pub(crate) fn zeros<N: Number>(&mut self, count: usize) -> Result<Buffer<N>, OutOfMemory> {
        #[cfg(all(feature = "std", target_os = "linux"))]
        if let Some(part) = self.chunks.part(count) {
            return Ok(Buffer(Storage::Chunk(part)));
        }
        Ok(Buffer(Storage::Owned(own(count)?)))
    }
}

#[cfg(all(feature = "std", target_os = "linux"))]
mod chunk {
    use core::{marker::PhantomData, ptr::NonNull};
    use memmap2::{Advice, MmapMut, MmapOptions};
    use std::sync::Arc;

    /// Bytes of a huge page.
    const PAGE: usize = 2 << 20;
    /// Largest chunk, unless a tensor is larger. What the last chunk does not use is never touched.
    const LARGEST: usize = 64 << 20;
    /// Bytes between the starts of tensors: a line of the cache.
    const ALIGN: usize = 64;

    #[derive(Default)]
    pub(super) struct Chunks {
        /// The newest, and how much of it is handed out.
        newest: Option<(Arc<MmapMut>, usize)>,
        /// Bytes asked for so far.
        total: usize,
    }

    impl Chunks {
        /// Room for `count` numbers; `None` while all is too small for a huge page, or where the system gives none.
        pub(super) fn part<N: super::Number>(&mut self, count: usize) -> Option<Part<N>> {
            let bytes = count.checked_mul(size_of::<N>())?.checked_next_multiple_of(ALIGN)?;
            self.total = self.total.saturating_add(bytes);
            if self.total < PAGE {
                return None;
            }
            if let Some((chunk, used)) = &mut self.newest
                && let Some(chunk) = Arc::get_mut(chunk)
            {
                // Nobody else has a part of it.
                let start = chunk.as_ptr().align_offset(PAGE);
                chunk[start..*used].fill(0);
                *used = start;
            }
            if self.newest.as_ref().is_none_or(|(chunk, used)| chunk.len() - used < bytes) {
                // A little more than one page, so that one page is whole wherever the chunk begins.
                let len = bytes.max(self.total.min(LARGEST)).checked_next_multiple_of(PAGE)?.checked_add(PAGE)?;
                let chunk = MmapOptions::new().len(len).map_anon().ok()?;
                // Where it does not know huge pages, the system uses ordinary ones.
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

    /// Numbers that lie in a chunk and belong to nobody else.
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
            // SAFETY: `part` has cut this out for us alone, of zeros, which are numbers.
            unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
        }

        #[inline(always)]
        pub(super) fn get_mut(&mut self) -> &mut [N] {
            // SAFETY: as above.
            unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
        }
    }

    // SAFETY: it owns its numbers, as a Vec does.
    unsafe impl<N: Send> Send for Part<N> {}
    unsafe impl<N: Sync> Sync for Part<N> {}
}

#[cfg(all(test, feature = "std", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_uses_any_more_is_handed_out_again_as_zeros() {
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
        // What is in use stays its owner's.
        first.fill(1.0);
        let second = arena.zeros::<f32>(COUNT).expect("4 MB");
        assert!(first.iter().all(|&x| x == 1.0) && second.iter().all(|&x| x == 0.0));
    }
}
