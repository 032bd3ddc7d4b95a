//! Shapes of the measurements.

/// A training step: preset, segments, batch, context.
pub(crate) type Step = (&'static str, usize, usize, usize);

/// Shapes of all measurements.
pub(crate) struct Shapes {
    /// Shortest duration of a measurement round, in seconds.
    pub(crate) min_seconds: f64,
    /// Side of the square matrices that are copied, and of those that are multiplied.
    pub(crate) rates: [usize; 2],
    /// Sequences, positions, width.
    pub(crate) scan: [usize; 3],
    /// Rows, width.
    pub(crate) norm: [usize; 2],
    /// Sequences, positions, heads, columns of a head.
    pub(crate) lookup: [usize; 4],
    /// Refinements of the Hopfield memory.
    pub(crate) depth: usize,
    /// Sequences, positions and hidden units of the gates.
    pub(crate) gate: [usize; 3],
    /// Rows and width of the rectified-flow head.
    pub(crate) flow: [usize; 2],
    /// Rows, width and vocabulary of a large head.
    pub(crate) head: [usize; 3],
    /// The same of the preset whose steps are timed.
    pub(crate) preset_head: [usize; 3],
    pub(crate) steps: Vec<Step>,
    /// The training step of the loss curve, and the number of steps.
    pub(crate) curve: (Step, u64),
}

impl Shapes {
    /// Shapes of training on a large GPU; tensors of memory-bound kernels are larger than its L2 cache, so that a repeated run reads
    /// from memory.
    pub(crate) fn full() -> Self {
        Self {
            min_seconds: 0.1,
            rates: [1 << 14, 1 << 13],
            scan: [16, 1024, 1024],
            norm: [65_536, 704],
            lookup: [32, 1024, 8, 64],
            depth: 3,
            gate: [256, 1024, 128],
            flow: [65_536, 512],
            head: [16_384, 512, 267_735],
            preset_head: [16_384, 704, 50_257],
            steps: vec![("char-4.5m", 2, 64, 256), ("bpe-97m", 1, 16, 1024), ("bpe-97m", 2, 16, 1024)],
            curve: (("char-4.5m", 2, 64, 256), 300),
        }
    }

    /// Small shapes for the emulated device.
    #[cfg(feature = "emulate")]
    pub(crate) fn tiny() -> Self {
        Self {
            min_seconds: 0.0,
            rates: [64, 32],
            scan: [1, 8, 16],
            norm: [4, 24],
            lookup: [1, 8, 1, 8],
            depth: 2,
            gate: [1, 8, 16],
            flow: [6, 8],
            head: [6, 8, 50],
            preset_head: [6, 8, 51],
            steps: vec![("char-0.8m", 1, 1, 4)],
            curve: (("char-0.8m", 1, 1, 4), 2),
        }
    }
}
