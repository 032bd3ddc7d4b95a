//! Shared by attention and both Hopfield memories: tiles, masks, gathered items.

use crate::{
    Cuda, Indices,
    error::DeviceError,
    launch::{Arg, LaunchDims, Variant},
    tensor::Mat,
};
use hh_core::ops::MemoryDims;

/// Rows per block, as in tile.cuh.
const ROWS: usize = 64;

/// Tile sizes for a head width.
pub(crate) struct Tiles {
    bf16: bool,
    /// Columns of a head, rounded up.
    head: usize,
}

impl Tiles {
    /// Tiles for heads of `head_dim`, which load and store the given tensors; stores an error and returns `None` for heads
    /// that are too wide.
    ///
    /// # Panics
    /// If a tensor is not in the compute precision: tiles are loaded without conversion.
    pub(crate) fn new(b: &mut Cuda, head_dim: usize, of: &[Mat]) -> Option<Self> {
        assert!(of.iter().all(|mat| mat.bf16 == b.bf16()), "lookups over columns of another precision than products");
        let head = [16, 32, 64, 128].into_iter().find(|&head| head >= head_dim);
        let head = head.ok_or_else(|| DeviceError::Unsupported(format!("heads of {head_dim} columns, more than 128")));
        let bf16 = b.bf16();
        b.check(head).map(|head| Self { bf16, head })
    }

    /// Queues a kernel.
    pub(crate) fn run(&self, b: &mut Cuda, kernel: Lookup, args: &[Arg]) {
        let Lookup { source, name, dims, rows, tiles: [tall, flat] } = kernel;
        let size = if self.bf16 { 2 } else { 4 };
        let pitch = self.head + 16 / size;
        // As in tile.cuh and pipeline.cuh.
        let columns = if self.bf16 && self.head <= 64 { 64 } else { 32 };
        let stages = if self.bf16 { 2 } else { 1 };
        // After the tiles, log sums and deltas of a pass over columns.
        let shared = (tall * ROWS + stages * flat * columns) * pitch * size + stages * 2 * columns * 4;
        if shared > b.device.max_shared() {
            let what = format!("heads of {} columns in f32 on {}", self.head, b.name());
            b.check::<()>(Err(DeviceError::Unsupported(what)));
            return;
        }
        let launch_dims = LaunchDims { grid: [rows.div_ceil(ROWS), dims.heads, dims.batch], threads: 2 * ROWS, shared };
        b.run(source, name, Variant::Head(self.bf16, self.head), launch_dims, args);
    }

    /// Number of blocks for `rows` rows.
    pub(crate) fn blocks(rows: usize) -> usize {
        rows.div_ceil(ROWS)
    }
}

/// A kernel that runs for all heads, with one block per `ROWS` rows.
pub(crate) struct Lookup<'a> {
    /// Stem of its source file.
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) dims: &'a MemoryDims,
    /// Rows of a head.
    pub(crate) rows: usize,
    /// `[tall, flat]` tiles in shared memory: of `ROWS` rows, and of as many rows as a tile has columns, the latter for each stage
    /// of pipeline.cuh.
    pub(crate) tiles: [usize; 2],
}

/// `Memory` of lookup.cuh: rows with the items of all heads.
pub(crate) struct Memory {
    pub(crate) of: Mat,
    /// Rows of a sequence.
    pub(crate) rows: usize,
    /// First column of all patterns (keys).
    pub(crate) pattern: usize,
    /// First column of all values.
    pub(crate) value: usize,
}

impl Memory {
    pub(crate) fn arg(&self) -> Arg {
        Arg::group(&[self.of.into(), self.rows.into(), self.pattern.into(), self.value.into()])
    }
}

/// `Ring` of memory.cu: the ring buffer of a decoding state.
pub(crate) struct Ring {
    pub(crate) arg: Arg,
    /// `N`
    pub(crate) rows: usize,
}

pub(crate) fn ring(items: &Mat, rows: usize, clock: &Indices) -> Ring {
    Ring { arg: Arg::group(&[(*items).into(), rows.into(), clock.address().into()]), rows }
}

/// An absent ring.
pub(crate) fn no_ring() -> Arg {
    Arg::group(&[Mat::NONE.into(), 0usize.into(), 0u64.into()])
}

/// `Heads` of memory.cu.
pub(crate) fn heads(dims: &MemoryDims) -> Arg {
    Arg::group(&[dims.batch.into(), dims.time.into(), dims.heads.into(), dims.head_dim.into()])
}

/// `View` of mask.cuh; a successor memory has no item 0.
pub(crate) fn view(dims: &MemoryDims, ring: Option<&Ring>, successor: bool) -> Arg {
    let window = dims.window.min(1 << 30);
    Arg::group(&[dims.slots.into(), ring.map_or(0, |r| r.rows - 1).into(), successor.into(), window.into()])
}
