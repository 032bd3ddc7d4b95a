//! Rounds the left factor of a product with quantised weights to integers.

use crate::{Real, simd::Level};
use alloc::vec::Vec;
use hh_core::quant::BLOCK;

/// Largest integer. With 8-bit weights a block sums to at most `32 · 127 · 32767 < 2³¹`.
const MAX_CODE: f32 = 32767.0;
/// 1.5 · 2²³: adding it rounds a small float to an integer, which is in the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;

/// Rows in blocks of 16-bit integers with one scale per block; the last block of a row is padded with zeros. The buffer
/// grows to the largest size during the first step and is then reused.
#[derive(Default)]
pub(crate) struct Rounded {
    codes: Vec<[i16; BLOCK]>,
    scales: Vec<f32>,
}

impl Rounded {
    /// Rounds rows of `width` elements. The scale of a block with a non-finite element is NaN.
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
    let mut max = [0.0f32; 8];
    let mut non_finite = [0.0f32; 8];
    for x in x.as_chunks::<8>().0 {
        for i in 0..8 {
            max[i] = Real::max(x[i].abs(), max[i]);
            non_finite[i] += x[i] * 0.0;
        }
    }
    let max = max.into_iter().fold(0.0, Real::max);
    // 0, or NaN.
    let non_finite = non_finite.into_iter().fold(0.0, |sum, b| sum + b);
    let inverse = if max > 0.0 { MAX_CODE / max } else { 0.0 };
    // A tiny maximum has no finite inverse; rounding its block to zero is below every tolerance.
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    let mut codes = [0; BLOCK];
    for (q, &x) in codes.iter_mut().zip(x) {
        *q = (x * inverse + MAGIC).to_bits() as i16;
    }
    (codes, max / MAX_CODE + non_finite)
}
