//! The order of training windows.

use clap::ValueEnum;
use hh_core::rng;
use serde::{Deserialize, Serialize};

/// Random sites ([`hh_core::rng`]) from the last one on, since those of the model count from 0: of windows at random places, of
/// the first window of an epoch, and of the rounds of its permutation. Two between them are those of pairs of texts.
const PLACES: u32 = u32::MAX;
const OFFSET: u32 = u32::MAX - 3;
const PERMUTATION: u32 = u32::MAX - 16;
/// Rounds of the permutation.
const ROUNDS: u32 = 8;

/// The order of training windows, as a flag and in a recipe. Either is a function of the seed and of how many windows came
/// before, so that nothing of it is saved, and any number of ranks sees the same windows.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum WindowOrder {
    /// In epochs: each window of the text once, in an order of its own
    #[default]
    Shuffled,
    /// At random places of the text, some of them several times before others come
    Random,
}

/// A random 64-bit word.
const fn word(key: [u32; 4], site: u32, index: u32) -> u64 {
    let [low, high, ..] = rng::block(key, site, index);
    low as u64 | (high as u64) << 32
}

/// A random number below `most`.
const fn below(word: u64, most: u64) -> u64 {
    ((word as u128 * most as u128) >> 64) as u64
}

const fn key(seed: u64, of: u64) -> [u32; 4] {
    [seed as u32, (seed >> 32) as u32, of as u32, (of >> 32) as u32]
}

/// A random place below `most`: a function of seed, step and row.
pub(super) const fn place(seed: u64, step: u64, row: u32, most: u64) -> u64 {
    below(word(key(seed, step), PLACES, row), most)
}

/// Where window number `taken` begins, counted from the start of the run, in a text of `len` ids of which windows take `time` and
/// the one after. An epoch begins at a random place, so that windows are cut elsewhere each time, and leaves out at its ends what
/// does not fill a window.
pub(super) fn shuffled(seed: u64, taken: u64, len: u64, time: u64) -> u64 {
    let (targets, windows) = (len - 1, epoch(len, time));
    let key = key(seed, taken / windows);
    let offset = below(word(key, OFFSET, 0), targets - windows * time + 1);
    offset + time * permuted(key, windows, taken % windows)
}

/// Number of windows of an epoch.
pub(super) fn epoch(len: u64, time: u64) -> u64 {
    ((len - 1) / time).saturating_sub(1).max(1)
}

/// Number `i` of a random permutation of `0 .. count`, of which nothing else is computed: a Feistel network over the next power
/// of four, applied until it stays below `count` (Black and Rogaway 2002).
fn permuted(key: [u32; 4], count: u64, i: u64) -> u64 {
    let bits = (u64::BITS - (count - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
    let mut i = i;
    loop {
        let (mut left, mut right) = ((i >> bits) as u32, i as u32 & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (rng::block(key, PERMUTATION - round, right)[0] & mask));
        }
        i = u64::from(left) << bits | u64::from(right);
        if i < count {
            return i;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_every_number_once_and_each_epoch_its_own() {
        for count in (1..70).chain([255, 256, 257, 4095, 10_007]) {
            let of = |epoch| (0..count).map(|i| permuted(key(1, epoch), count, i)).collect::<Vec<_>>();
            let mut seen = of(3);
            assert!(count < 20 || seen != of(4), "{count}: epochs differ");
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..count), "{count}");
        }
        assert!(permuted(key(1, 0), 1 << 40, 7) < 1 << 40);
        assert!(permuted(key(1, 0), u64::MAX, 7) < u64::MAX);
    }

    /// Where each number goes is uniform, and so is the one that follows it.
    #[test]
    fn a_permutation_looks_random() {
        let (count, seeds) = (16, 16_000);
        let mut cells = vec![0u32; 16 * 16];
        let mut follows = 0;
        for seed in 0..seeds {
            let all: Vec<u64> = (0..count).map(|i| permuted(key(seed, 0), count, i)).collect();
            all.iter().enumerate().for_each(|(i, &at)| cells[16 * i + at as usize] += 1);
            follows += all.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        }
        let chi: f64 = cells.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // 225 degrees of freedom: a mean of 225 with a standard deviation of 21.
        assert!(chi < 330.0, "{chi}");
        // One pair in sixteen is a number and the next, so of fifteen pairs 15/16.
        assert!((follows as f64 / seeds as f64 - 15.0 / 16.0).abs() < 0.05, "{follows}");
    }

    #[test]
    fn an_epoch_has_each_window_once_and_over_epochs_every_token_comes() {
        for (len, time) in [(9, 8), (17, 8), (25, 8), (100, 8), (1000, 7), (1001, 16)] {
            let windows = epoch(len, time);
            let mut seen = vec![false; len as usize];
            for epoch in 0..400 {
                let mut starts: Vec<u64> = (0..windows).map(|i| shuffled(5, epoch * windows + i, len, time)).collect();
                starts.sort_unstable();
                assert!(starts.windows(2).all(|pair| pair[1] == pair[0] + time), "windows stand side by side");
                assert!(starts[windows as usize - 1] + time < len, "the last target is a token of the text");
                (starts[0]..=starts[windows as usize - 1] + time).for_each(|at| seen[at as usize] = true);
            }
            assert!(seen.iter().all(|&s| s), "{len} tokens in windows of {time}");
        }
    }
}
