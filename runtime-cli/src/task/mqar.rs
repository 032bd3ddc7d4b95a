//! Multi-query associative recall, as HazyResearch/zoology defines it (Arora, Eyuboglu et al. 2023, `multiquery_ar` in
//! `zoology/data/associative_recall.py`; the parameters are those of its `iclr24_zoology_figure2/configs.py`).

use super::{Defaults, Draws, Exam, Task};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Pairs of a key and a value, then each key again, with its value as the target.
///
/// ```text
/// tokens    k₁ v₁ k₂ v₂ 0 0 k₂ 0 k₁ 0 …      keys: 1 .. V/2, values: V/2 .. V, all distinct in an example
/// targets    ·  ·  ·  · · · v₂ · v₁ · …
/// ```
///
/// Key i is repeated at position `2 pairs + 2 gapᵢ`; the gaps are distinct, drawn from `0 .. (length − 2 pairs) / 2` with
/// probability proportional to `(gap + 1)^(power − 1)`.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mqar {
    /// Length of an example; the paper uses 64 with --pairs 4, 128 with 8, 256 with 16
    #[arg(long, value_name = "T", default_value_t = 64)]
    pub length: usize,
    /// Number of key-value pairs; each key is queried once
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub pairs: usize,
    /// Vocabulary size: the lower half are keys, the upper half values, and 0 is the fill token
    #[arg(long, value_name = "V", default_value_t = 8192)]
    pub vocabulary: usize,
    /// Exponent of the power law of the distance from the pairs to the queries; 1 is uniform
    #[arg(long, value_name = "A", default_value_t = 0.01)]
    pub power: f64,
    /// Fill with random ids instead of 0
    #[arg(long)]
    pub random_fill: bool,
}

impl Mqar {
    /// Cumulative weights of the gaps 0, 1, ….
    fn cumulated(&self) -> Vec<f64> {
        let weights = (1..=(self.length - 2 * self.pairs) / 2).map(|gap| (gap as f64).powf(self.power - 1.0));
        weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect()
    }
}

impl Task for Mqar {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn length(&self) -> usize {
        self.length
    }

    fn validate(&self) -> Result<()> {
        let Self { length, pairs, vocabulary, power, .. } = *self;
        if pairs == 0 {
            bail!("--pairs is 0; it must be at least 1");
        }
        if !length.is_multiple_of(2) || length > 1 << 20 {
            bail!("--length is {length}; it must be even and at most {}", 1 << 20);
        }
        if pairs > length / 4 {
            bail!("--pairs is {pairs}; {length} positions fit at most {} pairs and their queries", length / 4);
        }
        if vocabulary <= length || vocabulary > 1 << 20 {
            bail!("--vocabulary is {vocabulary}; it must be above --length {length} and at most {}", 1 << 20);
        }
        if !(power.is_finite() && (0.0..=4.0).contains(&power)) {
            bail!("--power is {power}; it must be between 0 and 4");
        }
        Ok(())
    }

    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]) {
        let (first_value, context) = (self.vocabulary / 2, 2 * self.pairs);
        let keys = draws.distinct(first_value - 1, self.pairs);
        let values = draws.distinct(self.vocabulary - first_value, self.pairs);
        let gaps = draws.weighted(&self.cumulated(), self.pairs);
        tokens.fill(0);
        for (i, ((key, value), gap)) in keys.iter().zip(&values).zip(&gaps).enumerate() {
            let (key, value, question) = (1 + *key as u32, (first_value + value) as u32, context + 2 * gap);
            tokens[2 * i..2 * i + 2].copy_from_slice(&[key, value]);
            tokens[question] = key;
            targets[question] = value;
        }
        if self.random_fill {
            tokens.iter_mut().filter(|token| **token == 0).for_each(|token| *token = draws.below(self.vocabulary) as u32);
        }
    }

    fn exams(&self) -> Vec<Exam> {
        vec![Exam { name: "pairs", value: self.pairs, task: Box::new(self.clone()), examples: 3000 }]
    }

    fn defaults(&self) -> Defaults {
        let batch = 128;
        // 64 epochs of 100,000 examples, as in the paper.
        Defaults { examples: Some(100_000), steps: 64 * 100_000 / batch as u64, batch, lr: 2e-3 }
    }
}
