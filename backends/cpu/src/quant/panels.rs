//! Products of many rows: a row of the left factor is a lane of a vector, so each block of weights is unpacked once for all rows and
//! nothing is added across lanes.

use super::{
    Dots,
    dot::{SUMS, prefetch, scale_of, unpack_q4, unpack_q8},
    round::Rounded,
};
use crate::{Real, simd::Level};
use alloc::vec::Vec;
use core::array;
use hh_core::{
    quant::{BLOCK, Format},
    shape::Shaped,
};

/// Pairs of 16-bit integers in a block.
const PAIRS: usize = BLOCK / 2;
/// Rows of weights that share the loads of a panel.
pub(super) const OUT: usize = 8;
/// Panels that share an unpacked block of weights; their partial sums stay in the L1 cache.
const GROUP: usize = 2;

/// Rows of the left factor in panels, `[panel, block, pair, lane]` and `[panel, block, lane]`. Lanes beyond the last row are zeros.
#[derive(Default)]
pub(crate) struct Panels {
    pairs: Vec<[i16; 2]>,
    scales: Vec<f32>,
    lanes: usize,
    /// Rows that are in panels.
    pub(super) rows: usize,
}

/// Rows of a panel, if this processor has the instructions.
pub(super) fn lanes(level: Level) -> Option<usize> {
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    return match () {
        () if level.has_vnni() => Some(16),
        () if level.has_avx2() => Some(8),
        () => None,
    };
    #[allow(unreachable_code)]
    {
        let _ = level;
        None
    }
}

impl Panels {
    /// Takes the first rows of those that were rounded, in whole panels and a last one that is at least half full.
    pub(super) fn fill(&mut self, level: Level, from: &Rounded, rows: usize, blocks: usize) {
        let lanes = lanes(level).unwrap_or(usize::MAX);
        self.rows = if rows % lanes >= lanes / 2 { rows } else { rows - rows % lanes };
        if self.rows == 0 {
            return;
        }
        self.lanes = lanes;
        let panels = self.rows.div_ceil(lanes);
        self.pairs.clear();
        self.pairs.resize(panels * blocks * PAIRS * lanes, [0; 2]);
        self.scales.clear();
        self.scales.resize(panels * blocks * lanes, 0.0);
        for row in 0..self.rows {
            let (codes, scales) = from.rows(row, 1, blocks);
            let (panel, lane) = (row / lanes * blocks, row % lanes);
            for (b, (codes, &scale)) in codes.iter().zip(scales).enumerate() {
                let at = panel + b;
                self.scales[at * lanes + lane] = scale;
                let pairs = self.pairs[at * PAIRS * lanes..][..PAIRS * lanes].iter_mut().skip(lane).step_by(lanes);
                pairs.zip(codes.as_chunks::<2>().0).for_each(|(to, &pair)| *to = pair);
            }
        }
    }
}

/// Partial sums of the rows of weights in every lane.
type Sums<const L: usize> = [[[f32; L]; SUMS]; OUT];

/// A block of a panel, `[pair, lane]`, and its scales.
type Block<'a, const L: usize> = (&'a [[[i16; 2]; L]; PAIRS], &'a [f32; L]);

/// The instructions of a panel of `L` lanes. Intrinsics, since the compiler finds no vectors in loops of this length.
trait Lanes<const L: usize>: Copy {
    /// Adds the products of a block of each row of weights and of the panel to partial sum `l`.
    fn add(self, w: &[[[i16; 2]; PAIRS]; OUT], w_scales: &[f32; OUT], x: Block<L>, l: usize, sums: &mut Sums<L>);
    /// [`sum_ordered`](super::dot::sum_ordered) in every lane.
    fn total(self, sums: &[[f32; L]; SUMS]) -> [f32; L];
}

/// Computes the rows of the left factor that are in panels.
pub(super) fn run<F: Real>(level: Level, dots: &Dots<F>) {
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    match dots.panels.lanes {
        // SAFETY: `lanes` checked the instructions.
        16 if level.has_vnni() => unsafe { x86::vnni(dots) },
        8 if level.has_avx2() => unsafe { x86::avx2(dots) },
        _ => unreachable!("panels of {} lanes", dots.panels.lanes),
    }
    #[cfg(not(all(target_arch = "x86_64", feature = "std")))]
    unreachable!("{} panels on {}", dots.panels.rows, level.name());
}

impl<F: Real> Dots<'_, F> {
    #[inline(always)]
    fn in_panels<const L: usize>(&self, lanes: impl Lanes<L>) {
        match self.w.format() {
            Format::Q8 => self.panels::<L, BLOCK>(lanes, unpack_q8),
            Format::Q4 => self.panels::<L, { BLOCK / 2 }>(lanes, unpack_q4),
        }
    }

    #[inline(always)]
    fn panels<const L: usize, const BYTES: usize>(&self, lanes: impl Lanes<L>, unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK] + Copy) {
        let [_, out, inp] = self.w.shape().extents();
        let blocks = inp.div_ceil(BLOCK);
        let (codes, scales) = (self.w.codes().as_chunks::<BYTES>().0, self.w.scales());
        let (codes, scales) = (&codes[..out * blocks], &scales[..out * blocks]);
        let (x, x_scales) = (self.panels.pairs.as_chunks::<L>().0.as_chunks::<PAIRS>().0, self.panels.scales.as_chunks::<L>().0);
        let panels = x.len() / blocks.max(1);
        for first in self.run.clone().step_by(OUT) {
            // Rows beyond the last one repeat it; their sums are not written.
            let start: [usize; OUT] = array::from_fn(|i| (first + i).min(out - 1) * blocks);
            for group in (0..panels).step_by(GROUP) {
                let n = GROUP.min(panels - group);
                let mut sums = [[[[0.0f32; L]; SUMS]; OUT]; GROUP];
                for b in 0..blocks {
                    let (mut w, mut w_scales) = ([[[0i16; 2]; PAIRS]; OUT], [0.0; OUT]);
                    for o in 0..OUT {
                        let codes = &codes[start[o] + b];
                        prefetch(codes.as_ptr().wrapping_add(OUT * blocks * BYTES));
                        *w[o].as_flattened_mut().as_mut_array().expect("a block") = unpack(codes);
                        w_scales[o] = scale_of(&scales[start[o] + b]);
                    }
                    for (panel, sums) in (group..group + n).zip(&mut sums) {
                        let at = panel * blocks + b;
                        lanes.add(&w, &w_scales, (&x[at], &x_scales[at]), b % SUMS, sums);
                    }
                }
                for (panel, sums) in (group..group + n).zip(&sums) {
                    let mut totals = [[0.0; L]; OUT];
                    for o in 0..OUT {
                        totals[o] = lanes.total(&sums[o]);
                    }
                    self.write_panel(panel * L, first, &totals);
                }
            }
        }
    }

    /// Writes the products of `OUT` rows of weights from `first` on and the rows of a panel from `row` on.
    #[inline(always)]
    fn write_panel<const L: usize>(&self, row: usize, first: usize, totals: &[[f32; L]; OUT]) {
        let out = self.w.shape().extents()[1];
        let n = OUT.min(self.run.end - first);
        for lane in 0..L.min(self.panels.rows - row) {
            let at = (row + lane) * out + first;
            // SAFETY: each column of `y` belongs to one task.
            let y = unsafe { self.y.slice(at, n) };
            for (o, (y, totals)) in y.iter_mut().zip(totals).enumerate() {
                *y = self.write.element(*y, F::of_f32(totals[lane]), at + o, first + o);
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod x86 {
    use super::{Block, Dots, Lanes, OUT, PAIRS, Real, SUMS, Sums};
    use core::{arch::x86_64::*, mem::transmute};

    /// The order of [`sum_ordered`](super::super::dot::sum_ordered).
    macro_rules! total {
        ($add:ident, $s:ident) => {
            $add($add($add($s[0], $s[4]), $add($s[2], $s[6])), $add($add($s[1], $s[5]), $add($s[3], $s[7])))
        };
    }

    #[derive(Clone, Copy)]
    struct Vnni;

    impl Lanes<16> for Vnni {
        #[inline(always)]
        fn add(self, w: &[[[i16; 2]; PAIRS]; OUT], w_scales: &[f32; OUT], (x, x_scales): Block<16>, l: usize, sums: &mut Sums<16>) {
            // SAFETY: made only by `vnni`; sixteen lanes are a vector.
            unsafe {
                let mut products = [_mm512_setzero_si512(); OUT];
                for p in 0..PAIRS {
                    let x = _mm512_loadu_si512(x[p].as_ptr().cast());
                    for o in 0..OUT {
                        products[o] = _mm512_dpwssd_epi32(products[o], x, _mm512_set1_epi32(transmute::<[i16; 2], i32>(w[o][p])));
                    }
                }
                let x_scales = _mm512_loadu_ps(x_scales.as_ptr());
                for o in 0..OUT {
                    let scale = _mm512_mul_ps(_mm512_set1_ps(w_scales[o]), x_scales);
                    let sum = sums[o][l].as_mut_ptr();
                    _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), _mm512_mul_ps(_mm512_cvtepi32_ps(products[o]), scale)));
                }
            }
        }

        #[inline(always)]
        fn total(self, sums: &[[f32; 16]; SUMS]) -> [f32; 16] {
            // SAFETY: as above.
            unsafe {
                let s = transmute::<[[f32; 16]; SUMS], [__m512; SUMS]>(*sums);
                transmute(total!(_mm512_add_ps, s))
            }
        }
    }

    #[derive(Clone, Copy)]
    struct Avx2;

    impl Lanes<8> for Avx2 {
        #[inline(always)]
        fn add(self, w: &[[[i16; 2]; PAIRS]; OUT], w_scales: &[f32; OUT], (x, x_scales): Block<8>, l: usize, sums: &mut Sums<8>) {
            // SAFETY: made only by `avx2`; eight lanes are a vector.
            unsafe {
                let mut products = [_mm256_setzero_si256(); OUT];
                for p in 0..PAIRS {
                    let x = _mm256_loadu_si256(x[p].as_ptr().cast());
                    for o in 0..OUT {
                        let pairs = _mm256_madd_epi16(x, _mm256_set1_epi32(transmute::<[i16; 2], i32>(w[o][p])));
                        products[o] = _mm256_add_epi32(products[o], pairs);
                    }
                }
                let x_scales = _mm256_loadu_ps(x_scales.as_ptr());
                for o in 0..OUT {
                    let scale = _mm256_mul_ps(_mm256_set1_ps(w_scales[o]), x_scales);
                    let sum = sums[o][l].as_mut_ptr();
                    _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), _mm256_mul_ps(_mm256_cvtepi32_ps(products[o]), scale)));
                }
            }
        }

        #[inline(always)]
        fn total(self, sums: &[[f32; 8]; SUMS]) -> [f32; 8] {
            // SAFETY: as above.
            unsafe {
                let s = transmute::<[[f32; 8]; SUMS], [__m256; SUMS]>(*sums);
                transmute(total!(_mm256_add_ps, s))
            }
        }
    }

    /// # Safety
    /// The processor has these instructions.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma")]
    pub(super) unsafe fn vnni<F: Real>(dots: &Dots<F>) {
        dots.in_panels::<16>(Vnni);
    }

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2<F: Real>(dots: &Dots<F>) {
        dots.in_panels::<8>(Avx2);
    }
}
