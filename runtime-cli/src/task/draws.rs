//! The choices that make up one example.

use hh_core::rng;

/// Examples that have nothing to do with each other, whatever their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// What is trained on.
    Training = 0,
    /// What training is judged by on its way.
    Validation = 1,
    /// What the model that came of it is judged by.
    Exam = 2,
    /// The order in which training takes its examples.
    Order = 3,
}

/// The choices of one example: a function of seed, stream and number alone, the same on every machine.
pub struct Draws {
    key: [u32; 4],
    stream: Stream,
    next: u32,
    words: [u32; 4],
}

impl Draws {
    /// Those of example `number`.
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

    /// A number below `n`, which is above 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// A number on `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.word()) / 4_294_967_296.0
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f32 {
        let words = [self.word(), self.word(), 0, 0];
        rng::normals(words)[0]
    }

    /// `count` numbers below `n`, no two of them equal, in the order in which they were drawn.
    pub fn distinct(&mut self, n: usize, count: usize) -> Vec<usize> {
        self.apart(count, |draws| draws.below(n))
    }

    /// `count` places in `cumulated`, no two of them equal, each drawn with the share that is its own of what is left: draws that
    /// hit a place again do not count. `cumulated` rises from the first share to the sum of all.
    pub fn weighted(&mut self, cumulated: &[f64], count: usize) -> Vec<usize> {
        let sum = cumulated.last().copied().unwrap_or_default();
        self.apart(count, |draws| {
            let x = draws.uniform() * sum;
            cumulated.partition_point(|&c| c <= x).min(cumulated.len() - 1)
        })
    }

    fn apart(&mut self, count: usize, mut draw: impl FnMut(&mut Self) -> usize) -> Vec<usize> {
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

    /// Puts them in any order, each equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}
