//! Packs a factor into panels: the rows of a tile are contiguous for each depth; missing rows are zeros.

use super::factor::Matrix;
use crate::{
    Real,
    simd::{Level, Tile},
};
use core::ops::Range;

/// A factor of a product. The right one is packed by columns and passed as its transpose.
pub(super) enum Side {
    Left,
    Right,
}

/// Packs rows and depths of a matrix into panels of the height of a tile on its `side`.
pub(super) fn pack<F: Real>(level: Level, side: Side, a: Matrix<F>, rows: Range<usize>, depths: Range<usize>, to: &mut [F]) {
    F::tile(level, Pack { side, a, rows, depths, to });
}

struct Pack<'a, F> {
    side: Side,
    a: Matrix<'a, F>,
    rows: Range<usize>,
    depths: Range<usize>,
    to: &'a mut [F],
}

impl<F: Real> Tile for Pack<'_, F> {
    #[inline(always)]
    fn run<const FMA: bool, const MR: usize, const NR: usize>(self) {
        match self.side {
            Side::Left => panels::<F, MR>(self),
            Side::Right => panels::<F, NR>(self),
        }
    }
}

#[inline(always)]
fn panels<F: Real, const P: usize>(pack: Pack<F>) {
    let Pack { a, rows, depths, to, .. } = pack;
    let depth = depths.len();
    let (to, rest) = to.as_chunks_mut::<P>();
    assert!(rest.is_empty() && to.len() == rows.len().div_ceil(P) * depth, "panels of {P} rows");
    for (panel, start) in to.chunks_exact_mut(depth.max(1)).zip(rows.clone().step_by(P)) {
        let height = P.min(rows.end - start);
        if height < P {
            panel.fill([F::ZERO; P]);
        }
        if a.strides[0] == 1 {
            for (k, to) in depths.clone().zip(panel) {
                let from = &a.data[start + k * a.strides[1]..][..height];
                match from.as_array::<P>() {
                    Some(from) => *to = *from,
                    None => to[..height].copy_from_slice(from),
                }
            }
            continue;
        }
        let row = |i: usize| &a.data[(start + i) * a.strides[0] + depths.start..][..depth];
        let mut i = 0;
        // Four rows at a time: four sequential reads, and writes of four adjacent elements.
        while i + 4 <= height {
            let from = row(i).iter().zip(row(i + 1)).zip(row(i + 2)).zip(row(i + 3));
            for (to, (((&x0, &x1), &x2), &x3)) in panel.iter_mut().zip(from) {
                to[i..i + 4].copy_from_slice(&[x0, x1, x2, x3]);
            }
            i += 4;
        }
        for i in i..height {
            panel.iter_mut().zip(row(i)).for_each(|(to, &x)| to[i] = x);
        }
    }
}
