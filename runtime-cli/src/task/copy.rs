//! Delayed copy.

use super::{Defaults, Draws, Exam, Task};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

const CUE: u32 = 1;
const FIRST_SYMBOL: u32 = 2;

/// Symbols, a delay, and the symbols again.
///
/// ```text
/// tokens    cue a b c 0 0 … 0 cue a b        the input has the previous symbols of the answer (Jelassi et al. 2024)
/// targets    ·  · · · · ·   ·  a  b c
/// blind     cue a b c 0 0 … 0 cue 0 0        the input has zeros instead (Arjovsky et al. 2016)
/// ```
///
/// In training, delays are drawn uniformly from `shortest ..= delay`, and the rest of the example is filled with zeros.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DelayedCopy {
    /// Longest delay, in positions
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub delay: usize,
    /// Shortest delay
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub shortest: usize,
    /// Number of symbols to copy
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub items: usize,
    /// Size of the alphabet
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub alphabet: usize,
    /// Feed zeros while the symbols are repeated, instead of the previous symbols
    #[arg(long)]
    pub blind: bool,
}

impl Task for DelayedCopy {
    fn vocabulary(&self) -> usize {
        FIRST_SYMBOL as usize + self.alphabet
    }

    fn length(&self) -> usize {
        1 + self.items + self.delay + self.items
    }

    fn validate(&self) -> Result<()> {
        let Self { delay, shortest, items, alphabet, .. } = *self;
        for (name, value, most) in [("items", items, 1 << 12), ("alphabet", alphabet, 1 << 16)] {
            if !(1..=most).contains(&value) {
                bail!("--{name} is {value}; it must be between 1 and {most}");
            }
        }
        if delay > 1 << 16 {
            bail!("--delay is {delay}; it must be at most {}", 1 << 16);
        }
        if shortest > delay {
            bail!("--shortest {shortest} exceeds --delay {delay}; reduce it");
        }
        Ok(())
    }

    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]) {
        let delay = self.shortest + draws.below(self.delay - self.shortest + 1);
        let symbols: Vec<u32> = (0..self.items).map(|_| FIRST_SYMBOL + draws.below(self.alphabet) as u32).collect();
        let cue = 1 + self.items + delay;
        tokens.fill(0);
        (tokens[0], tokens[cue]) = (CUE, CUE);
        tokens[1..=self.items].copy_from_slice(&symbols);
        targets[cue..cue + self.items].copy_from_slice(&symbols);
        if !self.blind {
            tokens[cue + 1..cue + self.items].copy_from_slice(&symbols[..self.items - 1]);
        }
    }

    fn exams(&self) -> Vec<Exam> {
        let mut delays = vec![self.shortest, 20, 50, 100, 200, 500, 1000, self.delay, 2 * self.delay];
        delays.retain(|delay| (self.shortest..=2 * self.delay).contains(delay));
        delays.sort_unstable();
        delays.dedup();
        let exam =
            |delay| Exam { name: "delay", value: delay, task: Box::new(Self { delay, shortest: delay, ..self.clone() }), examples: 500 };
        delays.into_iter().map(exam).collect()
    }

    fn defaults(&self) -> Defaults {
        Defaults { examples: None, steps: 3000, batch: 16, lr: 2e-3 }
    }
}
