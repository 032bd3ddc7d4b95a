//! Matrices in blocks of small integers: what a checkpoint that is only used is stored in, and what a backend may compute with.
//!
//! A row is cut into blocks of [`BLOCK`] numbers, the last one filled up with zeros. A block is a scale `s`, a bfloat16, and
//! a small integer `q` for each number, `w ≈ s q`:
//!
//! | format | q | a block's bytes | bits a weight |
//! |---|---|---|---|
//! | q8 | −127 … 127 | `q`, one byte each | 8.5 |
//! | q4 | −8 … 7 | byte `j`: `q + 8` of number `j` in its low half, of number `j + 16` in its high half | 4.5 |
//!
//! In a file, the matrix `NAME` of `[out, in]` is the tensor `NAME.q8` (I8) or `NAME.q4` (U8) of `[out, bytes of a row]`
//! beside `NAME.scale` (BF16) of `[out, blocks of a row]`. All else is stored as f32.

use crate::{
    half::{bf16_to_f32, f32_to_bf16},
    shape::{Shape, Shaped},
};
use alloc::vec::Vec;
use libm::rintf;

/// Numbers that share a scale.
pub const BLOCK: usize = 32;

/// How the integers of a matrix are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A byte each.
    Q8,
    /// Half a byte each.
    Q4,
}

impl Format {
    /// Its name, also the ending of a tensor's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Bytes of a block, its scale not among them.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q8 => BLOCK,
            Self::Q4 => BLOCK / 2,
        }
    }

    /// What a model's tensor of this name and shape is stored in, if `self` was asked for: q8 for the embedding and for the
    /// gates' networks, which are small and feel more than they weigh, `None` for what no matrix product reads.
    pub fn of(self, name: &str, shape: Shape) -> Option<Self> {
        const COARSE: [&str; 7] = [
            ".in_proj.weight",
            ".out_proj.weight",
            ".ffn.in.weight",
            ".ffn.out.weight",
            "embed.up.weight",
            "embed.down.weight",
            "inject.weight",
        ];
        const FINE: [&str; 4] = ["embed.weight", ".mixer.hidden.weight", "controller.in.weight", "controller.gate_bias.weight"];
        if shape.rank() != 2 || shape.width() < BLOCK || name.starts_with("flow.") {
            return None;
        }
        let ends = |with: &&str| name.ends_with(with);
        if COARSE.iter().any(ends) { Some(self) } else { FINE.iter().any(ends).then_some(Self::Q8) }
    }

    /// Rounds rows of `width` numbers. Of q8, the scale is the least whose integers reach the largest number; of q4, the one
    /// among some fifty whose squared error is least.
    ///
    /// # Panics
    /// If `values` are not whole rows.
    pub fn quantise(self, values: &[f32], width: usize) -> QuantMatrix {
        assert!(width > 0 && values.len().is_multiple_of(width), "{} numbers in rows of {width}", values.len());
        let rows = values.len() / width;
        let blocks = rows * width.div_ceil(BLOCK);
        let mut made = QuantMatrix {
            format: self,
            shape: Shape::matrix(rows, width),
            codes: Vec::with_capacity(blocks * self.block_bytes()),
            scales: Vec::with_capacity(blocks),
        };
        for row in values.chunks(width) {
            for part in row.chunks(BLOCK) {
                let mut block = [0.0; BLOCK];
                block[..part.len()].copy_from_slice(part);
                let scale = match self {
                    Self::Q8 => {
                        let (scale, q) = eight_bits(&block);
                        made.codes.extend(q.map(|q| q as u8));
                        scale
                    }
                    Self::Q4 => {
                        let (scale, q) = four_bits(&block);
                        made.codes.extend((0..BLOCK / 2).map(|j| (q[j] + 8) as u8 | ((q[j + BLOCK / 2] + 8) as u8) << 4));
                        scale
                    }
                };
                made.scales.push(scale.to_le_bytes());
            }
        }
        made
    }
}

/// A matrix in blocks, in memory of its own.
#[derive(Clone, PartialEq, Debug)]
pub struct QuantMatrix {
    format: Format,
    shape: Shape,
    codes: Vec<u8>,
    scales: Vec<[u8; 2]>,
}

impl QuantMatrix {
    /// Where it lies.
    pub fn blocks(&self) -> QuantView<'_> {
        QuantView { format: self.format, shape: self.shape, codes: &self.codes, scales: &self.scales }
    }
}

/// A matrix `[out, in]` in blocks, where it lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QuantView<'a> {
    format: Format,
    shape: Shape,
    codes: &'a [u8],
    scales: &'a [[u8; 2]],
}

impl Shaped for QuantView<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }
}

impl<'a> QuantView<'a> {
    /// A matrix over the bytes of a file; `None` where they are not as many as its shape says.
    pub fn new(format: Format, shape: Shape, codes: &'a [u8], scales: &'a [[u8; 2]]) -> Option<Self> {
        let blocks = shape.rows().checked_mul(shape.width().div_ceil(BLOCK))?;
        let fits = scales.len() == blocks && codes.len() == blocks.checked_mul(format.block_bytes())?;
        fits.then_some(Self { format, shape, codes, scales })
    }

    /// How its integers are stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The integers, row after row, [`Format::block_bytes`] a block.
    pub fn codes(&self) -> &'a [u8] {
        self.codes
    }

    /// The scales, row after row, each the two bytes of a bfloat16, low byte first.
    pub fn scales(&self) -> &'a [[u8; 2]] {
        self.scales
    }

    /// All numbers, row after row.
    ///
    /// # Panics
    /// If `to` has not as many elements as the shape says.
    pub fn widen(&self, to: &mut [f32]) {
        assert_eq!(to.len(), self.shape.count(), "widening {}", self.shape);
        let width = self.shape.width();
        (0..self.shape.rows()).zip(to.chunks_exact_mut(width.max(1))).for_each(|(row, to)| self.widen_row(row, to));
    }

    /// The numbers of one row.
    ///
    /// # Panics
    /// If there is no such row, or `to` has not as many elements as it.
    pub fn widen_row(&self, row: usize, to: &mut [f32]) {
        assert_eq!(to.len(), self.shape.width(), "widening a row of {}", self.shape);
        to.chunks_mut(BLOCK).enumerate().for_each(|(block, to)| self.widen_block(row, block, to));
    }

    /// The numbers of one block of a row, which is as long as `to`.
    ///
    /// # Panics
    /// If there is no such block, or `to` is longer.
    pub fn widen_block(&self, row: usize, block: usize, to: &mut [f32]) {
        let (at, bytes) = (row * self.shape.width().div_ceil(BLOCK) + block, self.format.block_bytes());
        let (codes, scale) = (&self.codes[at * bytes..][..bytes], bf16_to_f32(u16::from_le_bytes(self.scales[at])));
        assert!(to.len() <= BLOCK, "a block has {BLOCK} numbers");
        match self.format {
            Format::Q8 => to.iter_mut().zip(codes).for_each(|(w, &q)| *w = scale * f32::from(q as i8)),
            Format::Q4 => to.iter_mut().enumerate().for_each(|(j, w)| {
                let q = codes[j % (BLOCK / 2)] >> (j / (BLOCK / 2) * 4) & 15;
                *w = scale * (f32::from(q) - 8.0);
            }),
        }
    }
}

/// The scale, as the bits of a bfloat16, and integers in −127 … 127.
fn eight_bits(block: &[f32; BLOCK]) -> (u16, [i8; BLOCK]) {
    let most = block.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let wanted = most / 127.0;
    let mut scale = f32_to_bf16(wanted);
    if bf16_to_f32(scale) < wanted {
        // Rounded up, so that no integer is beyond 127; as a magnitude, the next bfloat16 is the next number.
        scale += 1;
    }
    (scale, rounded(block, bf16_to_f32(scale), -127.0, 127.0))
}

/// The scale, as the bits of a bfloat16, and integers in −8 … 7. The largest number would be −8 of `largest / −8`; a scale
/// somewhat smaller or larger, or the least-squares one of the integers found, may serve the others better.
fn four_bits(block: &[f32; BLOCK]) -> (u16, [i8; BLOCK]) {
    let largest = block.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let mut best = (f32::INFINITY, 0, [0; BLOCK]);
    for step in 0..24 {
        let mut scale = f32_to_bf16(largest / -8.0 * (0.7 + 0.025 * step as f32));
        let mut q = rounded(block, bf16_to_f32(scale), -8.0, 7.0);
        for refit in [true, false] {
            let error = error(block, bf16_to_f32(scale), &q);
            if error < best.0 {
                best = (error, scale, q);
            }
            if refit {
                let (along, length) = block.iter().zip(q.map(f32::from)).fold((0.0, 0.0), |(a, l), (w, q)| (a + w * q, l + q * q));
                scale = f32_to_bf16(if length > 0.0 { along / length } else { 0.0 });
                q = rounded(block, bf16_to_f32(scale), -8.0, 7.0);
            }
        }
    }
    (best.1, best.2)
}

fn rounded(block: &[f32; BLOCK], scale: f32, least: f32, most: f32) -> [i8; BLOCK] {
    if scale == 0.0 { [0; BLOCK] } else { block.map(|w| rintf(w / scale).clamp(least, most) as i8) }
}

fn error(block: &[f32; BLOCK], scale: f32, q: &[i8; BLOCK]) -> f32 {
    block.iter().zip(q).map(|(w, &q)| w - scale * f32::from(q)).map(|e| e * e).sum()
}

#[cfg(test)]
mod tests;
