//! The left factor of a product with blocks, as integers.

use crate::{Real, simd::Level};
use alloc::vec::Vec;
use hh_core::quant::BLOCK;

/// Largest integer that a number becomes. With weights of eight bits a block sums to `32 · 127 · 32767 < 2³¹`.
const MOST: f32 = 32767.0;
/// 1.5 · 2²³: what is added to a small number rounds to a whole one, whose bits are the lowest of the sum.
const MAGIC: f32 = 12_582_912.0;

/// Rows in blocks of 16-bit integers, each block with a scale, the last one of a row filled up with zeros. Grows to the
/// largest need during the first step and stays.
#[derive(Default)]
pub(crate) struct Rounded {
    codes: Vec<[i16; BLOCK]>,
    scales: Vec<f32>,
}

impl Rounded {
    /// Rounds rows of `width` numbers. Where a number is not finite, its block's scale is NaN.
    pub(super) fn round<F: Real>(&mut self, level: Level, x: &[F], width: usize) {
        let blocks = width.div_ceil(BLOCK);
        let needed = blocks * (x.len() / width.max(1));
        if self.codes.len() < needed {
            self.codes.resize(needed, [0; BLOCK]);
            self.scales.resize(needed, 0.0);
        }
        let into = self.codes.chunks_exact_mut(blocks.max(1)).zip(self.scales.chunks_exact_mut(blocks.max(1)));
        for (x, (codes, scales)) in x.chunks_exact(width.max(1)).zip(into) {
            F::vectorise(
                level,
                #[inline(always)]
                || {
                    for (x, (codes, scale)) in x.chunks(BLOCK).zip(codes.iter_mut().zip(scales)) {
                        let mut block = [0.0; BLOCK];
                        block.iter_mut().zip(x).for_each(|(b, x)| *b = x.to_f32());
                        (*codes, *scale) = rounded(&block);
                    }
                },
            );
        }
    }

    /// Integers and scales of some rows.
    #[inline(always)]
    pub(super) fn rows(&self, first: usize, count: usize, blocks: usize) -> (&[[i16; BLOCK]], &[f32]) {
        (&self.codes[first * blocks..][..count * blocks], &self.scales[first * blocks..][..count * blocks])
    }
}

#[inline(always)]
fn rounded(x: &[f32; BLOCK]) -> ([i16; BLOCK], f32) {
    let mut most = [0.0f32; 8];
    let mut broken = [0.0f32; 8];
    for x in x.as_chunks::<8>().0 {
        for i in 0..8 {
            most[i] = Real::max(x[i].abs(), most[i]);
            broken[i] += x[i] * 0.0;
        }
    }
    let most = most.into_iter().fold(0.0, Real::max);
    // 0, or NaN.
    let broken = broken.into_iter().fold(0.0, |sum, b| sum + b);
    let up = if most > 0.0 { MOST / most } else { 0.0 };
    // What is tiny has no finite inverse; as zero it is off by less than anything here can tell.
    let up = if up.is_finite() { up } else { 0.0 };
    let mut codes = [0; BLOCK];
    for (q, &x) in codes.iter_mut().zip(x) {
        *q = (x * up + MAGIC).to_bits() as i16;
    }
    (codes, most / MOST + broken)
}
