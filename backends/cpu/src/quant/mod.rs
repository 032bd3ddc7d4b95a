//! Weights in blocks of small integers ([`hh_core::quant`]): how they lie, and products with them.
//!
//! The left factor is rounded to 16-bit integers, a scale to a block as the weights have it. Its error is thousands of
//! times below that of eight-bit weights, and an instruction that multiplies 16-bit integers takes no less at a time than
//! any that x86 or WebAssembly have for mixed eight-bit ones without saturation. The sums of a block are exact and the order of
//! all others is fixed, without fused operations: a product is the same bits on every machine.

mod dot;
pub(crate) mod matrix;
pub(crate) mod round;

use crate::{Cpu, Real, matmul::write::Write, simd::Kernel, threads::Shared};
use core::ops::Range;
use dot::{SUMS, ahead, dot, eights, fours, ordered};
use hh_core::{
    half::bf16_to_f32,
    quant::{BLOCK, Format, QuantView},
    shape::Shaped,
};
use round::Rounded;

/// A row, widened.
pub(crate) fn row<F: Real>(w: QuantView<'_>, row: usize, y: &mut [F]) {
    let mut piece = [0.0; BLOCK];
    for (block, y) in y.chunks_mut(BLOCK).enumerate() {
        w.widen_block(row, block, &mut piece[..y.len()]);
        y.iter_mut().zip(piece).for_each(|(y, w)| *y = F::of_f32(w));
    }
}

/// Weights of one task: as of plain numbers, by bytes.
const TASK: usize = 1 << 17;
/// Bytes that are asked for ahead of their use: the rows of a task lie one after the other.
const AHEAD: usize = 2048;
/// Rows of the left factor that a block of weights meets once it is unpacked.
const ROWS: usize = 4;

/// `y = x · wᵀ` of `rows` rows.
pub(crate) fn product<F: Real>(cpu: &mut Cpu<F>, x: &[F], w: QuantView<'_>, rows: usize, write: Write<F>, y: &mut [F]) {
    let [_, out, inp] = w.shape().extents();
    assert!(x.len() == rows * inp && y.len() == rows * out, "product of {rows} rows with {}", w.shape());
    let Cpu { level, threads, rounded, .. } = cpu;
    rounded.round(*level, x, inp);
    let y = Shared::new(y);
    let run = (TASK / (inp * rows).max(1)).max(1);
    threads.each(out.div_ceil(run), |task| {
        let run = task * run..out.min((task + 1) * run);
        F::run(*level, Dots { x: rounded, w, rows, write, run, y });
    });
}

struct Dots<'a, F> {
    x: &'a Rounded,
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
            Format::Q8 => self.each::<FMA, BLOCK>(eights),
            Format::Q4 => self.each::<FMA, { BLOCK / 2 }>(fours),
        }
    }
}

impl<F: Real> Dots<'_, F> {
    /// Every row of the weights, whose blocks have `BYTES` bytes, with every row of the left factor.
    #[inline(always)]
    fn each<const FMA: bool, const BYTES: usize>(self, unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK] + Copy) {
        let [_, out, inp] = self.w.shape().extents();
        let blocks = inp.div_ceil(BLOCK);
        let (codes, scales) = (self.w.codes().as_chunks::<BYTES>().0, self.w.scales());
        for o in self.run.clone() {
            let (codes, scales) = (&codes[o * blocks..][..blocks], &scales[o * blocks..][..blocks]);
            let mut first = 0;
            while first + ROWS <= self.rows {
                let x = self.x.rows(first, ROWS, blocks);
                let sums = several::<FMA, BYTES>(codes, scales, unpack, x);
                for (r, sum) in (first..).zip(sums) {
                    self.write(r * out + o, o, sum);
                }
                first += ROWS;
            }
            for r in first..self.rows {
                let x = self.x.rows(r, 1, blocks);
                self.write(r * out + o, o, one::<FMA, BYTES>(codes, scales, unpack, x));
            }
        }
    }

    #[inline(always)]
    fn write(&self, at: usize, o: usize, sum: f32) {
        // SAFETY: each column of `y` is one task's.
        let y = unsafe { self.y.slice(at, 1) };
        y[0] = self.write.element(y[0], F::of_f32(sum), at, o);
    }
}

/// Rows of the left factor, and their scales.
type Left<'a> = (&'a [[i16; BLOCK]], &'a [f32]);

/// `Σ over blocks of scale · scale · (integers · integers)`
#[inline(always)]
fn one<const FMA: bool, const BYTES: usize>(
    codes: &[[u8; BYTES]],
    scales: &[[u8; 2]],
    unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK],
    (x, x_scales): Left,
) -> f32 {
    let mut sums = [0.0; SUMS];
    for ((codes, scale), (x, x_scale)) in codes.iter().zip(scales).zip(x.iter().zip(x_scales)) {
        ahead(codes.as_ptr().wrapping_add(AHEAD));
        add(&mut sums, dot::<FMA>(&unpack(codes), x), widened(scale) * x_scale);
    }
    ordered(sums)
}

/// The same for [`ROWS`] left rows.
#[inline(always)]
fn several<const FMA: bool, const BYTES: usize>(
    codes: &[[u8; BYTES]],
    scales: &[[u8; 2]],
    unpack: impl Fn(&[u8; BYTES]) -> [i16; BLOCK],
    (x, x_scales): Left,
) -> [f32; ROWS] {
    let mut sums = [[0.0; SUMS]; ROWS];
    let n = codes.len();
    let (scales, mut rows) = (&scales[..n], [(&x[..0], &x_scales[..0]); ROWS]);
    for r in 0..ROWS {
        rows[r] = (&x[r * n..][..n], &x_scales[r * n..][..n]);
    }
    for b in 0..n {
        let (w, scale) = (unpack(&codes[b]), widened(&scales[b]));
        for r in 0..ROWS {
            add(&mut sums[r], dot::<FMA>(&w, &rows[r].0[b]), scale * rows[r].1[b]);
        }
    }
    let mut totals = [0.0; ROWS];
    for r in 0..ROWS {
        totals[r] = ordered(sums[r]);
    }
    totals
}

#[inline(always)]
fn widened(scale: &[u8; 2]) -> f32 {
    bf16_to_f32(u16::from_le_bytes(*scale))
}

#[inline(always)]
fn add(sums: &mut [f32; SUMS], part: [i32; SUMS], scale: f32) {
    for l in 0..SUMS {
        sums[l] += part[l] as f32 * scale;
    }
}
