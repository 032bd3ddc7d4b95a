use alloc::vec::Vec;

/// Bytes yet to be read, little-endian. What is not there is `None`, whatever lengths the bytes claim.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(count)?;
        self.0 = later;
        Some(now)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length of 64 bits.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok()
    }

    /// A count of 32 bits, then so many items of `size` bytes each.
    pub fn list(&mut self, size: usize) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count.checked_mul(size)?)
    }

    /// Ids, after their count.
    pub fn ids(&mut self) -> Option<Vec<u32>> {
        Some(self.list(4)?.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect())
    }

    /// Numbers, after their count.
    pub fn floats(&mut self) -> Option<Vec<f32>> {
        self.list(4).map(floats)
    }
}

/// The numbers that bytes are.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}
