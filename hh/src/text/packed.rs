//! Values of which blocks of zeros take a bit: the rings of a text that is shorter than its context are mostly empty.

/// Values in a block: two cache lines.
const BLOCK: usize = 32;

/// Values without their blocks of zeros.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// Of all values.
    pub(super) count: usize,
    /// A bit for each block, from the lowest one on: whether it is kept.
    pub(super) kept: Vec<u64>,
    pub(super) values: Vec<f32>,
}

impl Packed {
    /// Packs values; what is not the bits of +0 is kept.
    pub(super) fn new(all: &[f32]) -> Self {
        let blocks = all.len().div_ceil(BLOCK);
        let (mut kept, mut values) = (vec![0; blocks.div_ceil(64)], Vec::new());
        for (i, block) in all.chunks(BLOCK).enumerate() {
            if block.iter().fold(0, |bits, x| bits | x.to_bits()) != 0 {
                kept[i / 64] |= 1 << (i % 64);
                values.extend_from_slice(block);
            }
        }
        values.shrink_to_fit();
        Self { count: all.len(), kept, values }
    }

    /// Packed values in parts, if they belong together.
    pub(super) fn from_parts(count: usize, kept: Vec<u64>, values: Vec<f32>) -> Option<Self> {
        let packed = Self { count, kept, values };
        let blocks = count.div_ceil(BLOCK);
        let bits = packed.kept.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let beyond = packed.kept.last().is_some_and(|word| !blocks.is_multiple_of(64) && word >> (blocks % 64) != 0);
        // The last block may be shorter.
        let cut = if packed.keeps(blocks.wrapping_sub(1)) { blocks * BLOCK - count } else { 0 };
        (packed.kept.len() == blocks.div_ceil(64) && !beyond && packed.values.len() + cut == bits * BLOCK).then_some(packed)
    }

    /// Words of [`kept`](Self::kept) for so many values.
    pub(super) fn words(count: usize) -> usize {
        count.div_ceil(BLOCK).div_ceil(64)
    }

    fn keeps(&self, block: usize) -> bool {
        self.kept.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// All values.
    pub(super) fn unpack(&self) -> Vec<f32> {
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

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        8 * self.kept.len() + 4 * self.values.len()
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
                let packed = Packed::new(&all);
                assert_eq!(packed.unpack(), all);
                let again = Packed::from_parts(packed.count, packed.kept.clone(), packed.values.clone()).expect("whole");
                assert_eq!(again.unpack(), all, "{count} values");
            }
        }
        let minus = Packed::new(&[-0.0; 40]).unpack();
        assert!(minus.iter().all(|x| x.to_bits() == (-0.0_f32).to_bits()), "the sign of a zero is kept");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let Packed { count, kept, values } = Packed::new(&[1.0; 100]);
        assert!(Packed::from_parts(count, kept.clone(), values.clone()).is_some());
        for (count, kept, values) in [
            (101, kept.clone(), values.clone()),
            (usize::MAX, kept.clone(), values.clone()),
            (count, vec![0b111], values.clone()),
            (count, vec![0b1_1111], values.clone()),
            (count, vec![], values.clone()),
            (count, vec![kept[0], 0], values.clone()),
            (count, kept, values[1..].to_vec()),
        ] {
            assert!(Packed::from_parts(count, kept, values).is_none());
        }
    }
}
