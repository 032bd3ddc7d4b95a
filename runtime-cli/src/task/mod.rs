//! Synthetic memory benchmarks, generated from a seed.
//!
//! A [`Task`] generates examples: token ids, and a target id at some positions. [`TaskObjective`] trains on them in the same loop
//! as on text; the metric is the accuracy at the targets, and training stops when the task is solved. [`completion`] needs no
//! training: it tests the memories themselves.

pub mod completion;
mod copy;
mod draws;
mod exam;
mod induction;
mod kind;
mod model;
mod mqar;
mod order;
mod report;
mod score;
mod selective;
mod solve;
mod task_objective;
#[cfg(test)]
mod tests;

pub use copy::DelayedCopy;
pub use draws::{Draws, Stream};
pub use exam::{ExamResult, exam};
pub use induction::Induction;
pub use kind::{Assignment, Kind};
pub use model::{ModelOptions, Paths};
pub use mqar::Mqar;
pub use order::Order;
pub use report::{REPORT, Report, Reported};
pub use score::{Examples, Score, Scorer};
pub use selective::SelectiveCopy;
pub use solve::solve;
pub use task_objective::TaskObjective;

use anyhow::Result;

/// A generator of examples that need memory.
pub trait Task {
    /// Vocabulary size: all ids are below it.
    fn vocabulary(&self) -> usize;

    /// Length of an example in tokens.
    fn length(&self) -> usize;

    /// Checks the parameters.
    ///
    /// # Errors
    /// The first invalid value, with its valid range.
    fn validate(&self) -> Result<()>;

    /// Generates an example: [`length`](Self::length) ids, and as many targets, which are initialised with
    /// [`IGNORE`](hh_core::ops::IGNORE). A target is the id to predict after the token at its position.
    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]);

    /// The rows of the final test.
    fn exams(&self) -> Vec<Exam>;

    /// Hyper-parameters with which a small model can learn the task.
    fn defaults(&self) -> Defaults;
}

/// One row of the final test.
pub struct Exam {
    /// The setting that varies between rows, such as `delay`.
    pub name: &'static str,
    /// Its value in this row.
    pub value: usize,
    /// The task with that value.
    pub task: Box<dyn Task>,
    /// Number of examples.
    pub examples: usize,
}

/// Default hyper-parameters of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Number of training examples; `None` generates new ones in every step.
    pub examples: Option<u64>,
    /// Optimiser steps.
    pub steps: u64,
    /// Examples per step.
    pub batch: usize,
    /// Peak learning rate.
    pub lr: f64,
}

/// Generates the examples with the indices `numbers`, consecutively.
fn batch(task: &dyn Task, seed: u64, stream: Stream, numbers: impl Iterator<Item = u64>, tokens: &mut [u32], targets: &mut [u32]) {
    let length = task.length();
    targets.fill(hh_core::ops::IGNORE);
    for ((number, tokens), targets) in numbers.zip(tokens.chunks_exact_mut(length)).zip(targets.chunks_exact_mut(length)) {
        task.example(&mut Draws::new(seed, stream, number), tokens, targets);
    }
}
