//! Which example training takes next.

use super::{Draws, Stream};

/// New examples for ever; or a number of them, in passes, each in an order of its own.
pub struct Order {
    seed: u64,
    examples: Option<u64>,
    /// A pass, and its order.
    pass: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// An order of `examples`, fewer than 2³² and more than none.
    pub fn new(seed: u64, examples: Option<u64>) -> Self {
        Self { seed, examples, pass: None }
    }

    /// The number of the example that is taken after `taken` others: a function of the seed alone, so that a run that goes on
    /// takes what it would have taken.
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
