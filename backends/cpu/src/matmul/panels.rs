//! Many rows at a time with the bits of each alone: a row is a lane of a vector, so that its sums have the order of [`dot`] and
//! nothing is added across lanes.
//!
//! [`dot`]: crate::reduce::dot

use super::write::Write;
use crate::{
    Real,
    reduce::LANES,
    scratch::scratch,
    simd::{Level, Tile},
    threads::{Shared, Threads},
    tile::products,
};
use alloc::vec::Vec;
use core::{array, ops::Range};

/// Rows of weights that share the loads of a panel. A power of two would have the compiler make vectors of the weights' rows, which
/// are not contiguous, instead of the panel's.
pub(super) const OUT: usize = 6;
/// Partial sums that [`total`](crate::reduce::total) adds the lanes of `dot` to.
const EIGHT: usize = 8;

/// The first rows of a left factor, transposed in panels of as many rows as a vector has lanes: `[panel, column, lane]`.
pub(super) struct Panels<'a, F> {
    x: &'a [F],
    /// Rows that are in panels: those of whole panels, and of a last one that is at least half full.
    pub(super) rows: usize,
}

/// Lanes, given the columns of the [`Tile`] that has two vectors of them.
const fn lanes(tile: usize) -> usize {
    if tile > 8 { tile / 2 } else { 4 }
}

impl<'a, F: Real> Panels<'a, F> {
    pub(super) fn new(level: Level, threads: &Threads, x: &[F], [rows, inp]: [usize; 2], memory: &'a mut Vec<F>) -> Self {
        let lanes = lanes(F::tile_extents(level)[1]);
        let rows = if rows % lanes >= lanes / 2 { rows } else { rows - rows % lanes };
        let panels = rows.div_ceil(lanes);
        let memory = scratch(memory, panels * inp * lanes);
        let to = Shared::new(memory);
        threads.each(panels, |panel| {
            // SAFETY: each panel belongs to one task.
            let to = unsafe { to.slice(panel * inp * lanes, inp * lanes) };
            for lane in 0..lanes {
                // Lanes beyond the last row repeat it; their sums are not written.
                let row = &x[(panel * lanes + lane).min(rows - 1) * inp..][..inp];
                to[lane..].iter_mut().step_by(lanes).zip(row).for_each(|(to, &x)| *to = x);
            }
        });
        Self { x: memory, rows }
    }

    /// The products with the rows `run` of weights.
    pub(super) fn product(&self, level: Level, w: &[F], [inp, out]: [usize; 2], run: Range<usize>, write: Write<F>, y: Shared<F>) {
        F::tile(level, Product { panels: self, w, extents: [inp, out], run, write, y });
    }
}

struct Product<'a, F> {
    panels: &'a Panels<'a, F>,
    w: &'a [F],
    extents: [usize; 2],
    run: Range<usize>,
    write: Write<'a, F>,
    y: Shared<'a, F>,
}

impl<F: Real> Tile for Product<'_, F> {
    #[inline(always)]
    fn run<const FMA: bool, const MR: usize, const NR: usize>(self) {
        match lanes(NR) {
            16 => self.tiles::<FMA, 16>(),
            8 => self.tiles::<FMA, 8>(),
            _ => self.tiles::<FMA, 4>(),
        }
    }
}

impl<F: Real> Product<'_, F> {
    #[inline(always)]
    fn tiles<const FMA: bool, const L: usize>(&self) {
        let [inp, out] = self.extents;
        let panels = self.panels.x.as_chunks::<L>().0;
        for first in self.run.clone().step_by(OUT) {
            let count = OUT.min(self.run.end - first);
            // Rows beyond the last one repeat it; their sums are not written.
            let w: [&[F]; OUT] = array::from_fn(|i| &self.w[(first + i.min(count - 1)) * inp..][..inp]);
            for top in (0..self.panels.rows).step_by(L) {
                let sums = dots::<F, FMA, L>(&panels[top / L * inp..][..inp], w);
                for lane in 0..L.min(self.panels.rows - top) {
                    let at = (top + lane) * out + first;
                    // SAFETY: each column of `y` belongs to one task.
                    let y = unsafe { self.y.slice(at, count) };
                    for (o, (y, sums)) in y.iter_mut().zip(&sums).enumerate() {
                        *y = self.write.element(*y, sums[lane], at + o, first + o);
                    }
                }
            }
        }
    }
}

/// [`dot`](crate::reduce::dot) of each lane of `x` and each row of weights.
#[inline(always)]
fn dots<F: Real, const FMA: bool, const L: usize>(x: &[[F; L]], w: [&[F]; OUT]) -> [[F; L]; OUT] {
    assert!(w.iter().all(|w| w.len() == x.len()));
    // SAFETY: checked above.
    let x_at = |k: usize| unsafe { *x.get_unchecked(k) };
    let w_at = |k: usize| array::from_fn(|o| unsafe { *w[o].get_unchecked(k) });
    let whole = x.len() / LANES * LANES;
    let mut eight = [[[F::ZERO; L]; OUT]; EIGHT];
    for lane in 0..LANES.min(whole) {
        let of_lane = (lane..whole).step_by(LANES);
        let sums = products::<F, FMA, OUT, L>(of_lane.clone().map(w_at), of_lane.map(x_at));
        add(&mut eight[lane % EIGHT], sums);
    }
    let mut totals = fold(eight);
    for k in whole..x.len() {
        let (x, w) = (x_at(k), w_at(k));
        for o in 0..OUT {
            for i in 0..L {
                totals[o][i] = x[i].mul_add::<FMA>(w[o], totals[o][i]);
            }
        }
    }
    totals
}

#[inline(always)]
fn add<F: Real, const L: usize>(to: &mut [[F; L]; OUT], sums: [[F; L]; OUT]) {
    for o in 0..OUT {
        for i in 0..L {
            to[o][i] += sums[o][i];
        }
    }
}

/// The order of [`total`](crate::reduce::total).
#[inline(always)]
fn fold<F: Real, const L: usize>(eight: [[[F; L]; OUT]; EIGHT]) -> [[F; L]; OUT] {
    let [mut a, mut b, mut c, mut d, e, f, g, h] = eight;
    add(&mut a, e);
    add(&mut b, f);
    add(&mut c, g);
    add(&mut d, h);
    add(&mut a, c);
    add(&mut b, d);
    add(&mut a, b);
    a
}
