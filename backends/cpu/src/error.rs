//! Errors of the CPU backend.

/// An allocation of this many bytes failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory(
    /// Bytes requested.
    pub usize,
);

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "out of memory: cannot allocate {:.1} MB; choose a smaller batch, context or model", self.0 as f64 / 1e6)
    }
}

impl core::error::Error for OutOfMemory {}
