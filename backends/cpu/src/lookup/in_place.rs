//! The memory of one head for a single query, read where the ring holds it: gathering it first would copy all of it for one use.

use super::{Columns, Items, TILE};
use crate::{
    real::Real,
    reduce::dot,
    tile::{LANES, Matrix, MatrixMut, product},
};

/// Slots, gathered, and items in a ring.
pub(crate) struct InPlace<'a, F> {
    /// The learned slots, and how many there are.
    pub(crate) slots: (Items<'a, F>, usize),
    /// The rows of the sequence.
    pub(crate) ring: &'a [F],
    /// Elements of a row.
    pub(crate) stride: usize,
    /// Position of the item in the first column after the slots.
    pub(crate) first: usize,
    /// All columns.
    pub(crate) columns: usize,
    /// Where the head's values and patterns begin in a row.
    pub(crate) sides: [usize; 2],
}

/// Whether heads of this width can be read in place: by whole lanes.
pub(crate) fn fits(head_dim: usize) -> bool {
    head_dim.is_multiple_of(LANES)
}

impl<F: Real> InPlace<'_, F> {
    /// The columns `column ..` of a tile in parts whose items lie at equal distances, slots and up to two runs of the ring: the first of
    /// a part as a number of the tile's columns, how many there are, and their values (0) or patterns (1).
    ///
    /// A list and no closure that is called for each part: its body would not be inlined, and be compiled for the baseline instructions.
    #[inline(always)]
    fn parts(&self, column: usize, side: usize) -> [(usize, usize, Matrix<'_, F>); 3] {
        let (slots, end) = (self.slots.1, self.columns.min(column + TILE));
        let offset = if side == 0 { 0 } else { self.slots.0.head_dim };
        let gathered = slots.min(end).saturating_sub(column);
        let from = column.max(slots).min(end);
        let (rows, count) = (self.ring.len() / self.stride, end - from);
        let row = (self.first + from - slots.min(from)) % rows;
        // A tile sees no item twice, so its items wrap once at most.
        let before = count.min(rows - row);
        let run = |row: usize| Matrix { data: &self.ring[row * self.stride + self.sides[side]..], stride: self.stride };
        [
            (0, gathered, if gathered > 0 { self.slots.0.rows_of(column, offset) } else { run(0) }),
            (from - column, before, run(row)),
            (from - column + before, count - before, run(0)),
        ]
    }
}

impl<F: Real> Columns<F> for InPlace<'_, F> {
    fn head_dim(&self) -> usize {
        self.slots.0.head_dim
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
