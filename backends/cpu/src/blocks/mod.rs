//! Weights in blocks of small integers ([`hh_core::quant`]): how they lie, and products with them.
//!
//! The left factor is rounded to 16-bit integers, a scale to a block as the weights have it. Its error is thousands of
//! times below that of eight-bit weights, and an instruction that multiplies 16-bit integers takes no less at a time than
//! any that x86 or WebAssembly have for mixed eight-bit ones without saturation. The sums of a block are exact and the order of
//! all others is fixed, without fused operations: a product is the same bits on every machine.

mod dot;
mod round;

pub(crate) use round::Rounded;

use crate::{
    Cpu, Float,
    matmul::gemm::Write,
    memory::{Arena, Buffer},
    simd::Kernel,
    tensor::OutOfMemory,
    threads::Shared,
};
use core::ops::Range;
use dot::{SUMS, dot, eights, fours, ordered};
use hh_core::{
    half::bf16_to_f32,
    quant::{BLOCK, Blocks, Format},
    shape::{Shape, Shaped},
};

/// A weight in blocks.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    format: Format,
    shape: Shape,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Own { codes: Buffer<u8>, scales: Buffer<[u8; 2]> },
    Lent(Blocks<'static>),
}

impl Matrix {
    /// A copy.
    pub(crate) fn copied(from: Blocks<'_>, arena: &mut Arena) -> Result<Self, OutOfMemory> {
        let (mut codes, mut scales) = (arena.zeros(from.codes().len())?, arena.zeros(from.scales().len())?);
        codes.copy_from_slice(from.codes());
        scales.copy_from_slice(from.scales());
        Ok(Self { format: from.format(), shape: from.shape(), place: Place::Own { codes, scales } })
    }

    /// Where it lies.
    pub(crate) fn lent(from: Blocks<'static>) -> Self {
        Self { format: from.format(), shape: from.shape(), place: Place::Lent(from) }
    }

    /// To be read.
    pub(crate) fn blocks(&self) -> Blocks<'_> {
        match &self.place {
            Place::Own { codes, scales } => Blocks::new(self.format, self.shape, codes, scales).expect("as many bytes as when it was made"),
            Place::Lent(blocks) => *blocks,
        }
    }
}

/// A row, widened.
pub(crate) fn row<F: Float>(w: Blocks<'_>, row: usize, y: &mut [F]) {
    let mut piece = [0.0; BLOCK];
    for (block, y) in y.chunks_mut(BLOCK).enumerate() {
        w.widen_block(row, block, &mut piece[..y.len()]);
        y.iter_mut().zip(piece).for_each(|(y, w)| *y = F::of_f32(w));
    }
}

/// Weights of one task: as of plain numbers, by bytes.
const TASK: usize = 1 << 17;
/// Rows of the left factor that a block of weights meets once it is unpacked.
const ROWS: usize = 4;

/// `y = x · wᵀ` of `rows` rows.
pub(crate) fn product<F: Float>(cpu: &mut Cpu<F>, x: &[F], w: Blocks<'_>, rows: usize, write: Write<F>, y: &mut [F]) {
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
    w: Blocks<'a>,
    rows: usize,
    write: Write<'a, F>,
    run: Range<usize>,
    y: Shared<'a, F>,
}

impl<F: Float> Kernel for Dots<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [_, out, inp] = self.w.shape().extents();
        let blocks = inp.div_ceil(BLOCK);
        for o in self.run.clone() {
            let scales = &self.w.scales()[o * blocks..][..blocks];
            let mut first = 0;
            while first < self.rows {
                let several = self.rows - first >= ROWS;
                let mut sums = [0.0; ROWS];
                if several {
                    sums = self.sums::<FMA, ROWS>(o, blocks, scales, first);
                } else {
                    [sums[0]] = self.sums::<FMA, 1>(o, blocks, scales, first);
                }
                let count = if several { ROWS } else { 1 };
                for (r, sum) in (first..first + count).zip(sums) {
                    let at = r * out + o;
                    // SAFETY: each column of `y` is one task's.
                    let y = unsafe { self.y.slice(at, 1) };
                    let sum = F::of_f32(sum);
                    y[0] = match self.write {
                        Write::Add => y[0] + sum,
                        Write::Set { bias, add } => sum + bias.map_or(F::ZERO, |b| b[o]) + add.map_or(F::ZERO, |a| a[at]),
                    };
                }
                first += count;
            }
        }
    }
}

impl<F> Dots<'_, F> {
    /// Row `o` of the weights with rows `first …` of the left factor.
    #[inline(always)]
    fn sums<const FMA: bool, const R: usize>(&self, o: usize, blocks: usize, scales: &[[u8; 2]], first: usize) -> [f32; R] {
        let x: [_; R] = core::array::from_fn(|r| self.x.row(first + r, blocks));
        match self.w.format() {
            Format::Q8 => {
                let codes = self.w.codes().as_chunks::<BLOCK>().0;
                along::<FMA, R, _>(&codes[o * blocks..][..blocks], eights, scales, x)
            }
            Format::Q4 => {
                let codes = self.w.codes().as_chunks::<{ BLOCK / 2 }>().0;
                along::<FMA, R, _>(&codes[o * blocks..][..blocks], fours, scales, x)
            }
        }
    }
}

/// `Σ over blocks of scale · scale · (integers · integers)`, for R left rows at once.
#[inline(always)]
fn along<const FMA: bool, const R: usize, C>(
    codes: &[C],
    unpack: impl Fn(&C) -> [i16; BLOCK],
    scales: &[[u8; 2]],
    x: [(&[[i16; BLOCK]], &[f32]); R],
) -> [f32; R] {
    let mut sums = [[0.0f32; SUMS]; R];
    let count = codes.len();
    let x = x.map(|(q, s)| (&q[..count], &s[..count]));
    for b in 0..count {
        let w = unpack(&codes[b]);
        let scale = bf16_to_f32(u16::from_le_bytes(scales[b]));
        for (sums, (q, s)) in sums.iter_mut().zip(x) {
            let (part, scale) = (dot::<FMA>(&w, &q[b]), scale * s[b]);
            for l in 0..SUMS {
                sums[l] += part[l] as f32 * scale;
            }
        }
    }
    sums.map(ordered)
}
