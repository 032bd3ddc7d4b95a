//! The memory of one head for a single query, read where the ring holds it: gathering it first would copy all of it for one use.

use super::{Columns, Items, TILE, View};
use crate::{
    real::Real,
    reduce::dot,
    tile::{LANES, Matrix, MatrixMut, product},
};
use hh_core::ops::MemoryDims;

/// Slots, gathered, and items in a ring.
pub(crate) struct InPlace<'a, F> {
    /// The learned slots.
    slots: Items<'a, F>,
    /// The rows of the sequence, `[N, patterns | values]`.
    ring: &'a [F],
    view: View,
    /// All columns.
    columns: usize,
    /// First column of the head.
    column: usize,
    /// Columns of all heads.
    width: usize,
}

/// Whether a chunk is stored first and its memory then read where the ring holds it: one position, whose heads are whole lanes.
pub(crate) fn reads_in_place(dims: &MemoryDims) -> bool {
    dims.time == 1 && dims.head_dim.is_multiple_of(LANES)
}

impl<'a, F: Real> InPlace<'a, F> {
    /// The first `columns` columns of a view, for the head whose first column is `column` of a sequence. `items` are the rings of all
    /// sequences, `[B, N, patterns | values]`, and `slots` those of the head.
    #[inline(always)]
    pub(crate) fn new(
        dims: &MemoryDims,
        slots: Items<'a, F>,
        items: &'a [F],
        [sequence, column]: [usize; 2],
        view: View,
        columns: usize,
    ) -> Self {
        let ring = items.len() / dims.batch;
        Self { slots, ring: &items[sequence * ring..][..ring], view, columns, column, width: dims.width }
    }

    /// The columns `column ..` of a tile in parts whose items lie at equal distances, slots and up to two runs of the ring: the first of
    /// a part as a number of the tile's columns, how many there are, and their values (0) or patterns (1).
    ///
    /// A list and no closure that is called for each part: its body would not be inlined, and be compiled for the baseline instructions.
    #[inline(always)]
    fn parts(&self, column: usize, side: usize) -> [(usize, usize, Matrix<'_, F>); 3] {
        let (slots, end) = (self.view.slots, self.columns.min(column + TILE));
        let (offset, stride) = (if side == 0 { 0 } else { self.slots.head_dim }, 2 * self.width);
        let start = self.column + if side == 0 { self.width } else { 0 };
        let gathered = slots.min(end).saturating_sub(column);
        let from = column.max(slots).min(end);
        let (rows, count) = (self.ring.len() / stride, end - from);
        let row = (self.view.first + from - slots.min(from)) % rows;
        // A tile sees no item twice, so its items wrap once at most.
        let before = count.min(rows - row);
        let run = |row: usize| Matrix { data: &self.ring[row * stride + start..], stride };
        [
            (0, gathered, if gathered > 0 { self.slots.rows_of(column, offset) } else { run(0) }),
            (from - column, before, run(row)),
            (from - column + before, count - before, run(0)),
        ]
    }
}

impl<F: Real> Columns<F> for InPlace<'_, F> {
    fn head_dim(&self) -> usize {
        self.slots.head_dim
    }

    #[inline(always)]
    fn score<const FMA: bool>(&self, column: usize, _: usize, _: usize, query: &[F], scores: &mut [F]) {
        let d = self.head_dim();
        for (from, count, patterns) in self.parts(column, 1) {
            for (score, pattern) in scores[from..from + count].iter_mut().zip(patterns.data.chunks(patterns.stride)) {
                *score = dot::<F, FMA>(&query[..d], &pattern[..d]);
            }
        }
    }

    #[inline(always)]
    fn add<const FMA: bool>(&self, column: usize, _: usize, _: usize, width: usize, scores: &[F], out: &mut [F]) {
        let d = self.head_dim();
        for side in 0..width / d {
            for (from, count, items) in self.parts(column, side) {
                if count > 0 {
                    let (a, c) = (Matrix { data: &scores[from..], stride: TILE }, MatrixMut { data: &mut out[side * d..][..d], stride: d });
                    product::<F, FMA, true>(a, items, c, [1, d, count]);
                }
            }
        }
    }
}
