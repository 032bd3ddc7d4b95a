//! What can go wrong with the machine.

/// The machine had no room for a tensor of this many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory(
    /// Bytes asked for.
    pub usize,
);

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "out of memory: no room for {:.1} MB more; choose a smaller batch, context or model", self.0 as f64 / 1e6)
    }
}

impl core::error::Error for OutOfMemory {}
