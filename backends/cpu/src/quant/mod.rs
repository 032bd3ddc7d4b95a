//! Block-quantised weights ([`hh_core::quant`]): storage and products.
//!
//! The left factor is rounded to 16-bit integers with one scale per block, like the weights. Its error is thousands of
//! times below that of 8-bit weights, and 16-bit multiplies have the throughput of the mixed 8-bit ones that x86 and
//! WebAssembly offer without saturation. The sums of a block are exact and the order of all others is fixed, without fused
//! operations: a product has the same bits on every processor, and a row of it the same among any number of rows.

mod dot;
pub(crate) mod matrix;
pub(crate) mod panels;
pub(crate) mod round;

use crate::{Cpu, Real, matmul::write::Write, simd::Kernel, threads::Shared};
use core::ops::Range;
use dot::{SUMS, add_blocks, prefetch, sum_ordered, unpack_q4, unpack_q8};
use hh_core::{
    quant::{BLOCK, Format, QuantView},
    shape::Shaped,
};
use panels::Panels;
use round::Rounded;

/// Dequantises one row.
pub(crate) fn row<F: Real>(w: QuantView<'_>, row: usize, y: &mut [F]) {
    let mut piece = [0.0; BLOCK];
    for (block, y) in y.chunks_mut(BLOCK).enumerate() {
        w.widen_block(row, block, &mut piece[..y.len()]);
        y.iter_mut().zip(piece).for_each(|(y, w)| *y = F::of_f32(w));
    }
}

/// Weights per task: about as many bytes as for f32 weights.
const TASK: usize = 1 << 17;
/// Bytes to prefetch ahead; the rows of a task are contiguous.
const PREFETCH: usize = 2048;
/// Rows of the left factor that share an unpacked block of weights where they are not in panels.
const ROWS: usize = 4;

/// `y = x · wᵀ` for `rows` rows of `x`.
pub(crate) fn product<F: Real>(cpu: &mut Cpu<F>, x: &[F], w: QuantView<'_>, rows: usize, write: Write<F>, y: &mut [F]) {
    let [_, out, inp] = w.shape().extents();
    assert!(x.len() == rows * inp && y.len() == rows * out, "product of {rows} rows with {}", w.shape());
    let Cpu { level, threads, rounded, panels, .. } = cpu;
    rounded.round(*level, x, inp);
    panels.fill(*level, rounded, rows, inp.div_ceil(BLOCK));
    let y = Shared::new(y);
    let run = (TASK / (inp * rows).max(1)).max(1).next_multiple_of(if panels.rows > 0 { panels::OUT } else { 1 });
    threads.each(out.div_ceil(run), |task| {
        let run = task * run..out.min((task + 1) * run);
        let dots = Dots { x: rounded, panels, w, rows, write, run, y };
        if dots.panels.rows > 0 {
            panels::run(*level, &dots);
        }
        if dots.panels.rows < rows {
            F::run(*level, dots);
        }
    });
}

struct Dots<'a, F> {
    x: &'a Rounded,
    panels: &'a Panels,
    w: QuantView<'a>,
    rows: usize,
    write: Write<'a, F>,
    run: Range<usize>,
    y: Shared<'a, F>,
}

impl<F: Real> Kernel for Dots<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match self.w.format() {
            Format::Q8 => self.each::<FMA, BLOCK>(unpack_q8),
            Format::Q4 => self.each::<FMA, { BLOCK / 2 }>(unpack_q4),
        }
    }
}

impl<F: Real> Dots<'_, F> {
    /// The products of every row of the weights, with blocks of `BYTES` bytes, and the rows of the left factor that are not in panels.
    #[inline(always)]
    fn each<const FMA: bool, const BYTES: usize>(self, unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK] + Copy) {
        let [_, out, inp] = self.w.shape().extents();
        let blocks = inp.div_ceil(BLOCK);
        let (codes, scales) = (self.w.codes().as_chunks::<BYTES>().0, self.w.scales());
        for o in self.run.clone() {
            let (codes, scales) = (&codes[o * blocks..][..blocks], &scales[o * blocks..][..blocks]);
            let mut first = self.panels.rows;
            while first + ROWS <= self.rows {
                let x = self.x.rows(first, ROWS, blocks);
                let sums = dot_rows::<FMA, BYTES, ROWS>(codes, scales, unpack, x);
                for (r, sum) in (first..).zip(sums) {
                    self.write(r * out + o, o, sum);
                }
                first += ROWS;
            }
            for r in first..self.rows {
                let [sum] = dot_rows::<FMA, BYTES, 1>(codes, scales, unpack, self.x.rows(r, 1, blocks));
                self.write(r * out + o, o, sum);
            }
        }
    }

    #[inline(always)]
    fn write(&self, at: usize, o: usize, sum: f32) {
        // SAFETY: each column of `y` belongs to one task.
        let y = unsafe { self.y.slice(at, 1) };
        y[0] = self.write.element(y[0], F::of_f32(sum), at, o);
    }
}

/// Integers and scales of rows of the left factor.
type Left<'a> = (&'a [[i16; BLOCK]], &'a [f32]);

/// `Σ over blocks of scale · scale · (integers · integers)` for `R` rows of the left factor. Partial sum `l` is over the blocks
/// `l, l + 8, l + 16, …`.
#[inline(always)]
fn dot_rows<const FMA: bool, const BYTES: usize, const R: usize>(
    codes: &[[u8; BYTES]],
    scales: &[[u8; 2]],
    unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK],
    (x, x_scales): Left,
) -> [f32; R] {
    let n = codes.len();
    let (scales, mut rows) = (&scales[..n], [(&x[..0], &x_scales[..0]); R]);
    for r in 0..R {
        rows[r] = (&x[r * n..][..n], &x_scales[r * n..][..n]);
    }
    let mut sums = [[0.0; SUMS]; R];
    let (groups, rest) = codes.as_chunks::<SUMS>();
    for (group, codes) in groups.iter().enumerate() {
        let first = group * SUMS;
        let mut held = [[0; BLOCK]; SUMS];
        for j in 0..SUMS {
            prefetch(codes[j].as_ptr().wrapping_add(PREFETCH));
            if R > 1 {
                held[j] = unpack(&codes[j]);
            }
        }
        for r in 0..R {
            let (x, x_scales) = (&rows[r].0[first..][..SUMS], &rows[r].1[first..][..SUMS]);
            let w = |j: usize| if R > 1 { held[j] } else { unpack(&codes[j]) };
            sums[r] = add_blocks::<FMA>(sums[r], w, &scales[first..][..SUMS], x, x_scales);
        }
    }
    if !rest.is_empty() {
        let first = n - rest.len();
        for r in 0..R {
            sums[r] = add_blocks::<FMA>(sums[r], |j| unpack(&rest[j]), &scales[first..], &rows[r].0[first..], &rows[r].1[first..]);
        }
    }
    sums.map(sum_ordered)
}
