//! Pattern completion: recall of a stored pattern from a noisy or masked probe, by memories that need no training.
//!
//! The probes are those of Millidge et al. 2022 (`Theory_Associative_Memory`): Gaussian noise on every component, or components set
//! to zero. A pattern counts as completed if the mean squared error of the answer is at most [`COMPLETE`] times the mean square
//! of a component, which for ±1 patterns and answers is one component in forty.

mod memory;
#[cfg(feature = "plots")]
mod picture;
mod report;

pub use memory::{Ca3, Classic, Memory, Modern};
#[cfg(feature = "plots")]
pub use picture::draw;
pub use report::Report;

use super::{Draws, Stream};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::backend::Forward;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Write};

/// Largest mean squared error of a completed pattern, relative to the mean square of a component.
pub const COMPLETE: f64 = 0.1;

/// The distribution of the patterns' components; their mean square is 1 in both cases.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Components {
    /// ±1 with equal probability. The classic memory and CA3 answer with signs.
    #[default]
    Bipolar,
    /// Standard normal. The classic memory and CA3 answer with vectors of the patterns' mean length.
    Gaussian,
}

/// Options of the benchmark: the stored patterns and the probes.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Completion {
    /// Dimension of a pattern
    #[arg(long, value_name = "D", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub dimension: u16,
    /// Distribution of the components
    #[arg(long, value_enum, default_value_t)]
    pub components: Components,
    /// Numbers of stored patterns to test
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [5, 10, 20, 50, 100, 200, 500])]
    pub patterns: Vec<usize>,
    /// Standard deviations of the noise to test
    #[arg(long, value_name = "SIGMA", value_delimiter = ',', default_values_t = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.25, 1.5])]
    pub noise: Vec<f64>,
    /// Fractions of the components to set to zero
    #[arg(long, value_name = "FRACTION", value_delimiter = ',', default_values_t = [0.1, 0.25, 0.5, 0.75, 0.9])]
    pub mask: Vec<f64>,
    /// Inverse temperature of the modern memory
    #[arg(long, default_value_t = 64.0)]
    pub beta: f64,
    /// Number of pattern sets to average over
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub trials: u16,
    /// Seed of patterns and noise
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
}

/// How a pattern is corrupted.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// Additive Gaussian noise of this standard deviation.
    #[serde(rename = "noise")]
    Gaussian(f64),
    /// This fraction of the components is set to zero.
    Mask(f64),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gaussian(sigma) => write!(f, "noise {sigma}"),
            Self::Mask(share) => write!(f, "mask {share}"),
        }
    }
}

/// The result of one memory for one probe, over all patterns of all trials.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// The memory's name.
    pub memory: String,
    /// Number of stored patterns.
    pub patterns: usize,
    /// The corruption.
    pub probe: Probe,
    /// Fraction of the patterns that it completes.
    pub completed: f64,
    /// Mean squared error per component.
    pub error: f64,
}

/// The names of the memories, in the order of a table's columns.
pub const MEMORIES: [&str; 3] = ["modern", "classic", "ca3"];

impl Completion {
    /// Checks the options.
    ///
    /// # Errors
    /// The first invalid value, with its valid range.
    pub fn validate(&self) -> Result<()> {
        if let Some(n) = self.patterns.iter().find(|n| !(1..=10_000).contains(*n)) {
            bail!("--patterns has {n}; each must be between 1 and 10000");
        }
        if let Some(sigma) = self.noise.iter().find(|sigma| !(0.0..=100.0).contains(*sigma)) {
            bail!("--noise has {sigma}; each must be between 0 and 100");
        }
        if let Some(share) = self.mask.iter().find(|share| !(0.0..1.0).contains(*share)) {
            bail!("--mask has {share}; each must be at least 0 and below 1");
        }
        if !(self.beta > 0.0 && self.beta <= 1e6) {
            bail!("--beta is {}; it must be above 0 and at most 1e6", self.beta);
        }
        Ok(())
    }

    /// Tests all memories with all numbers of patterns and all probes.
    ///
    /// # Errors
    /// A device that fails.
    pub fn run<B: Forward>(&self, b: &mut B) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &count in &self.patterns {
            let probes = self.noise.iter().map(|&sigma| Probe::Gaussian(sigma)).chain(self.mask.iter().map(|&share| Probe::Mask(share)));
            let probes: Vec<Probe> = probes.collect();
            let mut sums = vec![[(0.0, 0.0); MEMORIES.len()]; probes.len()];
            for trial in 0..self.trials {
                let patterns = self.patterns(count, trial);
                let mut modern = Modern::new(b, &patterns, self.beta)?;
                let mut classic = Classic::new(b, &patterns, self.components)?;
                let mut ca3 = Ca3::new(&patterns, self.components);
                for (at, (&probe, sums)) in probes.iter().zip(&mut sums).enumerate() {
                    let queries = self.corrupted(&patterns, probe, trial, at);
                    let answers = [modern.complete(b, &queries)?, classic.complete(b, &queries)?, ca3.complete(b, &queries)?];
                    for (sum, answers) in sums.iter_mut().zip(&answers) {
                        let (completed, error) = evaluate(&patterns, answers);
                        *sum = (sum.0 + completed, sum.1 + error);
                    }
                }
            }
            for (probe, sums) in probes.into_iter().zip(sums) {
                let trials = f64::from(self.trials);
                rows.extend(MEMORIES.into_iter().zip(sums).map(|(memory, (completed, error))| Row {
                    memory: memory.into(),
                    patterns: count,
                    probe,
                    completed: completed / trials,
                    error: error / trials,
                }));
            }
        }
        Ok(rows)
    }

    /// The patterns of a trial.
    fn patterns(&self, count: usize, trial: u16) -> Patterns {
        let mut draws = Draws::new(self.seed, Stream::Training, (count as u64) << 16 | u64::from(trial));
        let mut component = || match self.components {
            Components::Bipolar => draws.below(2) as f32 * 2.0 - 1.0,
            Components::Gaussian => draws.normal(),
        };
        let dimension = self.dimension.into();
        Patterns { dimension, numbers: (0..count * dimension).map(|_| component()).collect() }
    }

    /// The patterns of a trial, corrupted by the probe with index `number`.
    fn corrupted(&self, patterns: &Patterns, probe: Probe, trial: u16, number: usize) -> Patterns {
        let key = (patterns.count() as u64) << 32 | (number as u64) << 16 | u64::from(trial);
        let mut draws = Draws::new(self.seed, Stream::Exam, key);
        let mut corrupted = patterns.clone();
        for x in &mut corrupted.numbers {
            match probe {
                Probe::Gaussian(sigma) => *x += sigma as f32 * draws.normal(),
                Probe::Mask(share) if draws.uniform() < share => *x = 0.0,
                Probe::Mask(_) => {}
            }
        }
        corrupted
    }
}

/// Pattern vectors, stored consecutively.
#[derive(Clone, PartialEq, Debug)]
pub struct Patterns {
    /// Dimension of each.
    pub dimension: usize,
    /// All components.
    pub numbers: Vec<f32>,
}

impl Patterns {
    /// Number of patterns.
    pub fn count(&self) -> usize {
        self.numbers.len() / self.dimension
    }

    /// Iterates over the patterns.
    pub fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.numbers.chunks_exact(self.dimension)
    }
}

/// Fraction of the answers that complete their patterns, and mean squared error per component.
fn evaluate(patterns: &Patterns, answers: &Patterns) -> (f64, f64) {
    let error = |(pattern, answer): (&[f32], &[f32])| {
        let sum: f64 = pattern.iter().zip(answer).map(|(p, a)| f64::from(p - a) * f64::from(p - a)).sum();
        sum / patterns.dimension as f64
    };
    let errors: Vec<f64> = patterns.each().zip(answers.each()).map(error).collect();
    let count = errors.len().max(1) as f64;
    (errors.iter().filter(|&&error| error <= COMPLETE).count() as f64 / count, errors.iter().sum::<f64>() / count)
}

/// Writes rows as CSV: `memory,patterns,probe,amount,completed,error`.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "memory,patterns,probe,amount,completed,error")?;
    for Row { memory, patterns, probe, completed, error } in rows {
        let (name, amount) = match probe {
            Probe::Gaussian(sigma) => ("noise", sigma),
            Probe::Mask(share) => ("mask", share),
        };
        writeln!(out, "{memory},{patterns},{name},{amount},{completed:.4},{error:.4}")?;
    }
    Ok(())
}
