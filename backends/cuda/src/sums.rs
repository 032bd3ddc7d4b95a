//! Sums over rows in an order that depends on the shape only.

use crate::{
    Cuda,
    launch::{LaunchDims, Variant},
    tensor::Mat,
};

/// Floats of shared memory per block for the partial sums of its warps.
const SHARED: usize = 12 << 10;
/// Largest number of partial sums.
const BLOCKS: usize = 256;

/// Partial sums of a kernel that loops over rows, one warp per row.
pub(crate) struct Partials {
    pub(crate) launch_dims: LaunchDims,
    /// `[blocks, width]`
    pub(crate) address: u64,
    width: usize,
}

impl Partials {
    /// Scratch for the sums of `width` columns over `rows`.
    ///
    /// # Panics
    /// If the columns exceed shared memory; no model is that wide.
    pub(crate) fn over_rows(b: &mut Cuda, rows: usize, width: usize) -> Self {
        assert!(width <= SHARED, "sums of {width} columns");
        let warps = (SHARED / width).clamp(1, 8);
        let blocks = rows.div_ceil(warps).min(BLOCKS);
        let launch_dims = LaunchDims { grid: [blocks, 1, 1], threads: 32 * warps, shared: 4 * warps * width };
        Self { launch_dims, address: b.take(4 * blocks * width), width }
    }

    /// Partial sums `[n, width]` at an address, written by a kernel with other launch dimensions.
    pub(crate) fn at(address: u64, n: usize, width: usize) -> Self {
        Self { launch_dims: LaunchDims { grid: [n, 1, 1], threads: 0, shared: 0 }, address, width }
    }

    /// `target += Σ` of columns `start .. start + count`.
    pub(crate) fn add_to(&self, b: &mut Cuda, start: usize, count: usize, target: Mat) {
        let args = [self.address.into(), self.launch_dims.grid[0].into(), self.width.into(), start.into(), count.into(), target.into()];
        b.run("sums", "add_columns", Variant::Plain, LaunchDims { grid: [count.div_ceil(32), 1, 1], threads: 256, shared: 0 }, &args);
    }
}

/// `target += Σ` of the rows of `x`.
pub(crate) fn column_sums(b: &mut Cuda, x: Mat, rows: usize, width: usize, target: Mat) {
    // Bands of columns that fit shared memory.
    for start in (0..width).step_by(SHARED) {
        let band = SHARED.min(width - start);
        let x = Mat { address: x.address + (start * x.size()) as u64, ..x };
        let target = Mat { address: target.address + (start * target.size()) as u64, ..target };
        let partials = Partials::over_rows(b, rows, band);
        b.run("sums", "column_sums", Variant::Plain, partials.launch_dims, &[x.into(), rows.into(), band.into(), partials.address.into()]);
        partials.add_to(b, 0, band, target);
    }
}
