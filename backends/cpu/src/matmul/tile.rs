//! The innermost loops of a matrix product: a tile of the result in registers.

use super::gemm::Write;
use crate::{
    Float,
    simd::{Level, Tile},
    threads::Shared,
};
use core::ops::Range;

/// A part of the result that one task computes.
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) depth: usize,
    /// Columns of the whole result.
    pub(super) stride: usize,
}

/// Computes a block from its packed panels.
pub(super) fn block<F: Float>(level: Level, left: &[F], right: &[F], write: Write<F>, block: Block, c: &Shared<F>) {
    F::tile(level, Panels { left, right, write, block, c });
}

struct Panels<'a, F> {
    left: &'a [F],
    right: &'a [F],
    write: Write<'a, F>,
    block: Block,
    c: &'a Shared<'a, F>,
}

impl<F: Float> Tile for Panels<'_, F> {
    #[inline(always)]
    fn run<const FMA: bool, const MR: usize, const NR: usize>(self) {
        let Block { rows, columns, depth, stride } = self.block;
        for (j, first) in columns.clone().step_by(NR).enumerate() {
            let right = &self.right[j * NR * depth..][..NR * depth];
            let width = NR.min(columns.end - first);
            for (i, top) in rows.clone().step_by(MR).enumerate() {
                let left = &self.left[i * MR * depth..][..MR * depth];
                let sums = tile::<F, FMA, MR, NR>(left, right);
                for (sums, row) in sums.iter().zip(top..rows.end) {
                    let at = row * stride + first;
                    // SAFETY: each block is one task's.
                    let c = unsafe { self.c.slice(at, width) };
                    // The usual width is known to the compiler: a few vectors, and no loop.
                    match c.as_mut_array::<NR>() {
                        Some(c) => write(sums, self.write, first, at, c),
                        None => write(&sums[..width], self.write, first, at, c),
                    }
                }
            }
        }
    }
}

/// `Σ_k left[k, i] · right[k, j]`
#[inline(always)]
fn tile<F: Float, const FMA: bool, const MR: usize, const NR: usize>(left: &[F], right: &[F]) -> [[F; NR]; MR] {
    let mut sums = [[F::ZERO; NR]; MR];
    let ((left, _), (right, _)) = (left.as_chunks::<MR>(), right.as_chunks::<NR>());
    for (a, b) in left.iter().zip(right) {
        for i in 0..MR {
            for j in 0..NR {
                sums[i][j] = a[i].mul_add::<FMA>(b[j], sums[i][j]);
            }
        }
    }
    sums
}

#[inline(always)]
fn write<F: Float>(sums: &[F], write: Write<F>, first: usize, at: usize, c: &mut [F]) {
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
