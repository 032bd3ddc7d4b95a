//! Random draws of one example.

use hh_core::rng;

/// Independent streams of examples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Training examples.
    Training = 0,
    /// Held-out examples for validation during training.
    Validation = 1,
    /// Examples of the final test.
    Exam = 2,
    /// The order of the training examples.
    Order = 3,
}

/// The random draws of one example: a function of seed, stream and index only, the same on every machine.
pub struct Draws {
    key: [u32; 4],
    stream: Stream,
    next: u32,
    words: [u32; 4],
}

impl Draws {
    /// Draws for the example with index `number`.
    pub fn new(seed: u64, stream: Stream, number: u64) -> Self {
        let key = [seed as u32, (seed >> 32) as u32, number as u32, (number >> 32) as u32];
        Self { key, stream, next: 0, words: [0; 4] }
    }

    fn word(&mut self) -> u32 {
        let at = (self.next % 4) as usize;
        if at == 0 {
            self.words = rng::block(self.key, self.stream as u32, self.next / 4);
        }
        self.next += 1;
        self.words[at]
    }

    /// A uniform integer in `0..n`, for `n > 0`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// A uniform number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.word()) / 4_294_967_296.0
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f32 {
        let words = [self.word(), self.word(), 0, 0];
        rng::normals(words)[0]
    }

    /// `count` distinct integers in `0..n`, in the order of the draws.
    pub fn distinct(&mut self, n: usize, count: usize) -> Vec<usize> {
        self.until_distinct(count, |draws| draws.below(n))
    }

    /// `count` distinct indices, drawn without replacement with the weights whose cumulative sums are `cumulated`. (Repeated
    /// indices are rejected, so each draw is in proportion to the remaining weights.)
    pub fn weighted(&mut self, cumulated: &[f64], count: usize) -> Vec<usize> {
        let sum = cumulated.last().copied().unwrap_or_default();
        self.until_distinct(count, |draws| {
            let x = draws.uniform() * sum;
            cumulated.partition_point(|&c| c <= x).min(cumulated.len() - 1)
        })
    }

    fn until_distinct(&mut self, count: usize, mut draw: impl FnMut(&mut Self) -> usize) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(count);
        let mut seen = std::collections::HashSet::with_capacity(count);
        while drawn.len() < count {
            let one = draw(self);
            if seen.insert(one) {
                drawn.push(one);
            }
        }
        drawn
    }

    /// A uniform random permutation (Fisher–Yates).
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}
