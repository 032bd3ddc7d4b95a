//! What tells the weights and the tokenizer of a model from others.

use crate::{Error, LoadedModel};
use hh_core::{backend::Device, error::Error as Core, shape::Shaped};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x100_0000_01b3;
const LANES: usize = 4;

/// FNV-1a over words of 64 bits in four independent lanes: as fast as memory, unlike the bytewise one. It finds damage and
/// mistakes, not forgery.
pub(crate) struct Hash {
    lanes: [u64; LANES],
    length: u64,
}

impl Hash {
    pub(crate) fn new() -> Self {
        Self { lanes: std::array::from_fn(|lane| OFFSET.wrapping_add(lane as u64)), length: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<{ 8 * LANES }>();
        for words in whole {
            self.words(std::array::from_fn(|lane| u64::from_le_bytes(words[8 * lane..][..8].try_into().expect("8 bytes"))));
        }
        if !rest.is_empty() {
            let mut last = [0; 8 * LANES];
            last[..rest.len()].copy_from_slice(rest);
            self.words(std::array::from_fn(|lane| u64::from_le_bytes(last[8 * lane..][..8].try_into().expect("8 bytes"))));
        }
        self.length += bytes.len() as u64;
    }

    fn numbers(&mut self, values: &[f32]) {
        for eight in values.chunks(2 * LANES) {
            let bits = |i: usize| u64::from(eight.get(i).map_or(0, |x| x.to_bits()));
            self.words(std::array::from_fn(|lane| bits(2 * lane) | bits(2 * lane + 1) << 32));
        }
        self.length += 4 * values.len() as u64;
    }

    fn words(&mut self, words: [u64; LANES]) {
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            let mixed = (*lane ^ word).wrapping_mul(PRIME);
            // The product moves information upwards only.
            *lane = mixed ^ (mixed >> 32);
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        let all = self.lanes.iter().chain([&self.length]);
        all.fold(OFFSET, |hash, &lane| {
            let mixed = (hash ^ lane).wrapping_mul(PRIME);
            mixed ^ (mixed >> 29)
        })
    }
}

impl<T: Shaped> LoadedModel<T> {
    /// A hash of configuration, weights (as they compute: those of a quantised copy differ) and tokenizer. Computed when it is
    /// first asked for, at the speed of memory.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn identity<B: Device<Tensor = T>>(&self, b: &mut B) -> Result<u64, Error> {
        if let Some(&known) = self.identity.get() {
            return Ok(known);
        }
        let (mut hash, mut host) = (Hash::new(), Vec::new());
        hash.bytes(self.model.config.to_json().as_bytes());
        hash.bytes(self.tokenizer.to_json().as_bytes());
        for leaf in self.model.params.leaves() {
            host.resize(leaf.shape().count(), 0.0);
            b.download(leaf, &mut host).map_err(Core::device)?;
            hash.numbers(&host);
        }
        // 0 stands for a state that does not say.
        let found = hash.finish().max(1);
        Ok(*self.identity.get_or_init(|| found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let bytes: Vec<u8> = [1.0_f32, -2.0, 3.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(numbers.finish(), hash(&[&bytes]));
    }
}
