//! The micro-kernel of a matrix product: a tile of the result in registers.

use super::write::Write;
use crate::{
    Real,
    simd::{Level, Tile},
    threads::Shared,
    tile::products,
};
use core::ops::Range;

/// The part of the result that one task computes.
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) depth: usize,
    /// Columns of the whole result.
    pub(super) stride: usize,
}

/// The left factor of a block.
#[derive(Clone, Copy)]
pub(super) enum Left<'a, F> {
    /// Packed panels, from the block's first row on.
    Panels(&'a [F]),
    /// Not packed: from the matrix's first row and the block's first depth on; rows are `stride` apart.
    Rows { data: &'a [F], stride: usize },
}

/// Computes a block; `right` is packed.
pub(super) fn block<F: Real>(level: Level, left: Left<F>, right: &[F], write: Write<F>, block: Block, c: &Shared<F>) {
    F::tile(level, Product { left, right, write, block, c });
}

struct Product<'a, F> {
    left: Left<'a, F>,
    right: &'a [F],
    write: Write<'a, F>,
    block: Block,
    c: &'a Shared<'a, F>,
}

impl<F: Real> Tile for Product<'_, F> {
    #[inline(always)]
    fn run<const FMA: bool, const MR: usize, const NR: usize>(self) {
        let Block { ref rows, depth, .. } = self.block;
        for (i, top) in rows.clone().step_by(MR).enumerate() {
            match self.left {
                Left::Panels(panels) => {
                    let (panel, _) = panels[i * MR * depth..][..MR * depth].as_chunks::<MR>();
                    self.across::<FMA, MR, NR>(top, panel.iter().copied());
                }
                Left::Rows { data, stride } => {
                    // Rows beyond the last one repeat it; their sums are not written.
                    let rows: [&[F]; MR] = core::array::from_fn(|i| &data[(top + i).min(rows.end - 1) * stride..][..depth]);
                    // SAFETY: each of the rows has `depth` elements.
                    let at = |k: usize| core::array::from_fn(|i| unsafe { *rows[i].get_unchecked(k) });
                    self.across::<FMA, MR, NR>(top, (0..depth).map(at));
                }
            }
        }
    }
}

impl<F: Real> Product<'_, F> {
    /// All tiles of the rows from `top` on; `left` yields those rows' elements for each depth.
    #[inline(always)]
    fn across<const FMA: bool, const MR: usize, const NR: usize>(&self, top: usize, left: impl Iterator<Item = [F; MR]> + Clone) {
        let Block { rows, columns, depth, stride } = &self.block;
        for (j, first) in columns.clone().step_by(NR).enumerate() {
            let (right, _) = self.right[j * NR * depth..][..NR * depth].as_chunks::<NR>();
            let width = NR.min(columns.end - first);
            let sums = products::<F, FMA, MR, NR>(left.clone(), right.iter().copied());
            for (sums, row) in sums.iter().zip(top..rows.end) {
                let at = row * stride + first;
                // SAFETY: each block belongs to one task.
                let c = unsafe { self.c.slice(at, width) };
                // A full tile has a width known at compile time: a few vectors and no loop.
                match c.as_mut_array::<NR>() {
                    Some(c) => write(sums, self.write, first, at, c),
                    None => write(&sums[..width], self.write, first, at, c),
                }
            }
        }
    }
}

#[inline(always)]
fn write<F: Real>(sums: &[F], write: Write<F>, first: usize, at: usize, c: &mut [F]) {
    let Write::Set { bias, add } = write else {
        c.iter_mut().zip(sums).for_each(|(c, &s)| *c += s);
        return;
    };
    c.copy_from_slice(sums);
    if let Some(bias) = bias {
        c.iter_mut().zip(&bias[first..][..sums.len()]).for_each(|(c, &b)| *c += b);
    }
    if let Some(add) = add {
        c.iter_mut().zip(&add[at..][..sums.len()]).for_each(|(c, &a)| *c += a);
    }
}
