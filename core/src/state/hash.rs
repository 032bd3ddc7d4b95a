//! Checksums and fingerprints. They find damage and mistakes, not forgery.

use crate::half::f32_to_bf16;
use core::array;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x100_0000_01b3;
const LANES: usize = 4;

/// FNV-1a over words of 64 bits in four independent lanes: as fast as memory, unlike the bytewise one. It finds damage and
/// mistakes, not forgery.
#[derive(Clone, Debug)]
pub struct Hash {
    lanes: [u64; LANES],
    length: u64,
}

impl Hash {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { lanes: array::from_fn(|lane| OFFSET.wrapping_add(lane as u64)), length: 0 }
    }

    /// Goes on with bytes; where they are cut is part of what is hashed.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<{ 8 * LANES }>();
        for words in whole {
            self.words(array::from_fn(|lane| u64::from_le_bytes(words[8 * lane..][..8].try_into().expect("8 bytes"))));
        }
        if !rest.is_empty() {
            let mut last = [0; 8 * LANES];
            last[..rest.len()].copy_from_slice(rest);
            self.words(array::from_fn(|lane| u64::from_le_bytes(last[8 * lane..][..8].try_into().expect("8 bytes"))));
        }
        self.length += bytes.len() as u64;
    }

    /// Goes on with numbers, as the nearest [bfloat16](crate::half): what a device computes with in that precision hashes as what it
    /// was made from.
    pub fn numbers(&mut self, values: &[f32]) {
        for some in values.chunks(4 * LANES) {
            let bits = |i: usize| some.get(i).map_or(0, |&x| u64::from(f32_to_bf16(x)));
            self.words(array::from_fn(|lane| (0..4).fold(0, |word, i| word | bits(4 * lane + i) << (16 * i))));
        }
        self.length += 2 * values.len() as u64;
    }

    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::new();
        hash.bytes(bytes);
        hash.finish()
    }

    fn words(&mut self, words: [u64; LANES]) {
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            let mixed = (*lane ^ word).wrapping_mul(PRIME);
            // The product moves information upwards only.
            *lane = mixed ^ (mixed >> 32);
        }
    }

    /// The hash so far.
    pub fn finish(&self) -> u64 {
        let all = self.lanes.iter().chain([&self.length]);
        all.fold(OFFSET, |hash, &lane| {
            let mixed = (hash ^ lane).wrapping_mul(PRIME);
            mixed ^ (mixed >> 29)
        })
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

/// FNV-1a, bytewise: the checksum of [`Snapshot`](super::Snapshot) and of memories.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET, |h, &b| (h ^ b as u64).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn hash(parts: &[&[u8]]) -> u64 {
        let mut hash = Hash::new();
        parts.iter().for_each(|part| hash.bytes(part));
        hash.finish()
    }

    #[test]
    fn every_bit_and_the_length_count() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole = hash(&[&bytes]);
        for bit in 0..800 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hash(&[&other]), whole, "bit {bit}");
        }
        assert_ne!(hash(&[&[0; 5]]), hash(&[&[0; 6]]));
        let mut numbers = Hash::new();
        numbers.numbers(&[1.0, -2.0, 3.5]);
        let bytes: Vec<u8> = [1.0_f32, -2.0, 3.5].iter().flat_map(|&x| f32_to_bf16(x).to_le_bytes()).collect();
        assert_eq!(numbers.finish(), hash(&[&bytes]));
        let (mut rounded, mut fine) = (Hash::new(), Hash::new());
        rounded.numbers(&[1.0 / 3.0].map(|x| crate::half::bf16_to_f32(f32_to_bf16(x))));
        fine.numbers(&[1.0 / 3.0]);
        assert_eq!(rounded.finish(), fine.finish());
    }
}
