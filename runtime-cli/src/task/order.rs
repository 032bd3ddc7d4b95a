//! The order of the training examples.

use super::{Draws, Stream};

/// New examples without end, or a fixed number of them in epochs, each in its own order.
pub struct Order {
    seed: u64,
    examples: Option<u64>,
    /// An epoch and its order.
    pass: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// An order of `examples`, at least 1 and fewer than 2³²; `None` is without end.
    pub fn new(seed: u64, examples: Option<u64>) -> Self {
        Self { seed, examples, pass: None }
    }

    /// The index of the example after `taken` others: a function of the seed and `taken` only, so a resumed run sees the same
    /// examples.
    pub fn example(&mut self, taken: u64) -> u64 {
        let Some(examples) = self.examples else { return taken };
        let pass = taken / examples;
        if self.pass.as_ref().is_none_or(|(at, _)| *at != pass) {
            let mut order: Vec<u32> = (0..examples as u32).collect();
            Draws::new(self.seed, Stream::Order, pass).shuffle(&mut order);
            self.pass = Some((pass, order));
        }
        self.pass.as_ref().map_or(taken, |(_, order)| order[(taken % examples) as usize].into())
    }
}
