//! Induction heads (Gu and Dao 2023, section 4.1.2, after Olsson et al. 2022).

use super::{Defaults, Draws, Exam, Task};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

const CUE: u32 = 0;

/// Random ids with one cue among them and a second cue at the end, after which the id that followed the first cue must be
/// recalled.
///
/// ```text
/// tokens    5 2 7 cue 3 1 8 … 2 cue
/// targets   · · ·  ·  · · ·   ·  3
/// ```
///
/// The final test runs the model recurrently at lengths up to 64 times that of training.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Induction {
    /// Length of a training example
    #[arg(long, value_name = "T", default_value_t = 256)]
    pub length: usize,
    /// Longest length of the final test; each is four times the previous one
    #[arg(long, value_name = "T", default_value_t = 16_384)]
    pub longest: usize,
    /// Vocabulary size, including the cue
    #[arg(long, value_name = "V", default_value_t = 16)]
    pub vocabulary: usize,
}

impl Task for Induction {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn length(&self) -> usize {
        self.length
    }

    fn validate(&self) -> Result<()> {
        let Self { length, longest, vocabulary } = *self;
        for (name, value, least, most) in [("length", length, 3, 1 << 16), ("vocabulary", vocabulary, 3, 1 << 16)] {
            if !(least..=most).contains(&value) {
                bail!("--{name} is {value}; it must be between {least} and {most}");
            }
        }
        if !(length..=1 << 20).contains(&longest) {
            bail!("--longest is {longest}; it must be between --length {length} and {}", 1 << 20);
        }
        Ok(())
    }

    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]) {
        let last = self.length - 1;
        tokens.iter_mut().for_each(|token| *token = 1 + draws.below(self.vocabulary - 1) as u32);
        let cue = draws.below(last - 1);
        (tokens[cue], tokens[last]) = (CUE, CUE);
        targets[last] = tokens[cue + 1];
    }

    fn exams(&self) -> Vec<Exam> {
        let exam = |length: usize| Exam {
            name: "length",
            value: length,
            task: Box::new(Self { length, longest: length, ..self.clone() }),
            // Time grows with the square of the length.
            examples: ((1 << 19) / length).clamp(40, 500),
        };
        std::iter::successors(Some(self.length), |length| Some(4 * length)).take_while(|&length| length <= self.longest).map(exam).collect()
    }

    fn defaults(&self) -> Defaults {
        Defaults { examples: None, steps: 4000, batch: 32, lr: 2e-3 }
    }
}
