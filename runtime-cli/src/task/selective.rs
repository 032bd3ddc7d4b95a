//! Selective copying (Gu and Dao 2023, section 4.1.1, after Arjovsky et al. 2016).

use super::{Defaults, Draws, Exam, Task};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

const CUE: u32 = 1;
const FIRST_SYMBOL: u32 = 2;

/// Symbols at random positions among blanks, then cues, at each of which the next symbol must be recalled.
///
/// ```text
/// tokens    0 a 0 0 b 0 c 0 cue cue cue
/// targets   · · · · · · · ·  a   b   c
/// ```
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SelectiveCopy {
    /// Number of positions that the symbols are scattered over
    #[arg(long, value_name = "T", default_value_t = 256)]
    pub positions: usize,
    /// Number of symbols to copy
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub items: usize,
    /// Size of the alphabet
    #[arg(long, value_name = "N", default_value_t = 14)]
    pub alphabet: usize,
}

impl Task for SelectiveCopy {
    fn vocabulary(&self) -> usize {
        FIRST_SYMBOL as usize + self.alphabet
    }

    fn length(&self) -> usize {
        self.positions + self.items
    }

    fn validate(&self) -> Result<()> {
        let Self { positions, items, alphabet } = *self;
        for (name, value, most) in [("positions", positions, 1 << 16), ("items", items, 1 << 12), ("alphabet", alphabet, 1 << 16)] {
            if !(1..=most).contains(&value) {
                bail!("--{name} is {value}; it must be between 1 and {most}");
            }
        }
        if items > positions {
            bail!("--items is {items}; it must not exceed --positions {positions}");
        }
        Ok(())
    }

    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]) {
        let mut places: Vec<usize> = (0..self.positions).collect();
        draws.shuffle(&mut places);
        places.truncate(self.items);
        places.sort_unstable();
        tokens.fill(0);
        for (i, place) in places.into_iter().enumerate() {
            let symbol = FIRST_SYMBOL + draws.below(self.alphabet) as u32;
            tokens[place] = symbol;
            tokens[self.positions + i] = CUE;
            targets[self.positions + i] = symbol;
        }
    }

    fn exams(&self) -> Vec<Exam> {
        let exam =
            |positions| Exam { name: "positions", value: positions, task: Box::new(Self { positions, ..self.clone() }), examples: 500 };
        [1, 2, 4].map(|times| exam(times * self.positions)).into()
    }

    fn defaults(&self) -> Defaults {
        Defaults { examples: None, steps: 6000, batch: 32, lr: 2e-3 }
    }
}
