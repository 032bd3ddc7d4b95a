//! Memory tasks: what a model must keep in mind, drawn by a seed, and whether it did.
//!
//! A [`Task`] draws examples: ids, and at some positions the id that is asked for there. It is trained on as any text is
//! ([`TaskObjective`] is its lesson in the loop of a run), judged by the share of answers that are right, and ended as soon as it is
//! solved. [`completion`] needs no training: it asks the memories themselves.

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

/// What a model must keep in mind.
pub trait Task {
    /// Ids are below it.
    fn vocabulary(&self) -> usize;

    /// Positions of an example.
    fn length(&self) -> usize;

    /// Says what cannot be.
    ///
    /// # Errors
    /// One sentence with the value that cannot be, and what it must be.
    fn validate(&self) -> Result<()>;

    /// Draws an example: [`length`](Self::length) ids, and as many targets, which come full of
    /// [`IGNORE`](hh_core::ops::IGNORE). A target is the id that is asked for once the token of its position was read.
    fn example(&self, draws: &mut Draws, tokens: &mut [u32], targets: &mut [u32]);

    /// What a model is asked when it is done.
    fn exams(&self) -> Vec<Exam>;

    /// A recipe on which a small model can learn it.
    fn defaults(&self) -> Defaults;
}

/// One row of the table that a run ends with.
pub struct Exam {
    /// What varies from row to row, as in `delay`.
    pub name: &'static str,
    /// Its value in this row.
    pub value: usize,
    /// The task with that value.
    pub task: Box<dyn Task>,
    /// How many examples of it.
    pub examples: usize,
}

/// How a task is learned where nothing else is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Examples that are trained on again and again; `None` is new ones in every step.
    pub examples: Option<u64>,
    /// Optimiser steps, where that is not said by passes over the examples.
    pub steps: u64,
    /// Examples of a step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
}

/// Several examples one after the other: those that `numbers` names.
fn batch(task: &dyn Task, seed: u64, stream: Stream, numbers: impl Iterator<Item = u64>, tokens: &mut [u32], targets: &mut [u32]) {
    let length = task.length();
    targets.fill(hh_core::ops::IGNORE);
    for ((number, tokens), targets) in numbers.zip(tokens.chunks_exact_mut(length)).zip(targets.chunks_exact_mut(length)) {
        task.example(&mut Draws::new(seed, stream, number), tokens, targets);
    }
}
