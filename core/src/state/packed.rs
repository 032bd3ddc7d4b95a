//! Values of which blocks of zeros take a bit: the rings of a text that is shorter than its context are mostly empty.

use super::{Layout, Reader, Snapshot, reader::floats};
use alloc::{vec, vec::Vec};

/// Values in a block: two cache lines.
const BLOCK: usize = 32;

/// A [`Snapshot`] without its blocks of zeros.
#[derive(Clone, Debug)]
pub struct Packed {
    layout: Layout,
    position: u64,
    seen: Option<u64>,
    values: Blocks,
}

impl Packed {
    /// Packs a snapshot; what is not the bits of +0 is kept.
    pub fn new(state: &Snapshot) -> Self {
        Self { layout: state.layout, position: state.position, seen: state.seen, values: Blocks::new(&state.values) }
    }

    /// The snapshot.
    pub fn unpack(&self) -> Snapshot {
        Snapshot { layout: self.layout, position: self.position, values: self.values.unpack(), seen: self.seen }
    }

    /// Positions that the session had seen.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.values.kept.len() + 4 * self.values.values.len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Blocks { count, kept, values } = &self.values;
        out.extend(self.layout.to_bytes());
        out.extend(self.position.to_le_bytes());
        out.extend((*count as u64).to_le_bytes());
        out.extend(kept.iter().flat_map(|word| word.to_le_bytes()));
        out.extend((values.len() as u64).to_le_bytes());
        out.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        out.extend(u32::from(self.seen.is_some()).to_le_bytes());
        out.extend(self.seen.into_iter().flat_map(u64::to_le_bytes));
    }

    pub(super) fn read(rest: &mut Reader<'_>) -> Option<Self> {
        let (layout, position, count) = (Layout::read(rest)?, rest.u64()?, rest.length()?);
        let kept = rest.take(Blocks::words(count).checked_mul(8)?)?;
        let kept = kept.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
        let length = rest.length()?;
        let values = Blocks::from_parts(count, kept, floats(rest.take(length.checked_mul(4)?)?))?;
        let seen = match rest.u32()? {
            0 => None,
            1 => Some(rest.u64()?),
            _ => return None,
        };
        Some(Self { layout, position, seen, values })
    }
}

/// Values without their blocks of zeros.
#[derive(Clone, Debug)]
struct Blocks {
    /// Of all values.
    count: usize,
    /// A bit for each block, from the lowest one on: whether it is kept.
    kept: Vec<u64>,
    values: Vec<f32>,
}

impl Blocks {
    /// Packs values; what is not the bits of +0 is kept.
    fn new(all: &[f32]) -> Self {
        let blocks = all.len().div_ceil(BLOCK);
        let mut kept = vec![0; blocks.div_ceil(64)];
        let held = |block: &&[f32]| block.iter().fold(0, |bits, x| bits | x.to_bits()) != 0;
        let mut values = Vec::with_capacity(all.chunks(BLOCK).filter(held).map(<[f32]>::len).sum());
        for (i, block) in all.chunks(BLOCK).enumerate().filter(|(_, block)| held(block)) {
            kept[i / 64] |= 1 << (i % 64);
            values.extend_from_slice(block);
        }
        Self { count: all.len(), kept, values }
    }

    /// Packed values in parts, if they belong together.
    fn from_parts(count: usize, kept: Vec<u64>, values: Vec<f32>) -> Option<Self> {
        let packed = Self { count, kept, values };
        let blocks = count.div_ceil(BLOCK);
        let bits = packed.kept.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let beyond = packed.kept.last().is_some_and(|word| !blocks.is_multiple_of(64) && word >> (blocks % 64) != 0);
        // The last block may be shorter.
        let cut = if packed.keeps(blocks.wrapping_sub(1)) { blocks * BLOCK - count } else { 0 };
        (packed.kept.len() == blocks.div_ceil(64) && !beyond && packed.values.len() + cut == bits * BLOCK).then_some(packed)
    }

    /// Words of [`kept`](Self::kept) for so many values.
    fn words(count: usize) -> usize {
        count.div_ceil(BLOCK).div_ceil(64)
    }

    fn keeps(&self, block: usize) -> bool {
        self.kept.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// All values.
    fn unpack(&self) -> Vec<f32> {
        let (mut all, mut rest) = (vec![0.0; self.count], &self.values[..]);
        for (i, block) in all.chunks_mut(BLOCK).enumerate() {
            if self.keeps(i) {
                let (now, later) = rest.split_at(block.len());
                block.copy_from_slice(now);
                rest = later;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_come_back_bit_for_bit() {
        for count in [0, 1, 31, 32, 33, 64 * 32, 64 * 32 + 5, 5000] {
            for every in [1, 7, 100, 10_000] {
                let all: Vec<f32> = (0..count).map(|i| if i % every == every / 2 { i as f32 - 3.0 } else { 0.0 }).collect();
                let packed = Blocks::new(&all);
                assert_eq!(packed.unpack(), all);
                let again = Blocks::from_parts(packed.count, packed.kept.clone(), packed.values.clone()).expect("whole");
                assert_eq!(again.unpack(), all, "{count} values");
            }
        }
        let minus = Blocks::new(&[-0.0; 40]).unpack();
        assert!(minus.iter().all(|x| x.to_bits() == (-0.0_f32).to_bits()), "the sign of a zero is kept");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let Blocks { count, kept, values } = Blocks::new(&[1.0; 100]);
        assert!(Blocks::from_parts(count, kept.clone(), values.clone()).is_some());
        for (count, kept, values) in [
            (101, kept.clone(), values.clone()),
            (usize::MAX, kept.clone(), values.clone()),
            (count, vec![0b111], values.clone()),
            (count, vec![0b1_1111], values.clone()),
            (count, vec![], values.clone()),
            (count, vec![kept[0], 0], values.clone()),
            (count, kept, values[1..].to_vec()),
        ] {
            assert!(Blocks::from_parts(count, kept, values).is_none());
        }
    }
}
