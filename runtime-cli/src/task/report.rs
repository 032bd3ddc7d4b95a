//! `task.json`: what came of a run that solved a task, or did not.

use super::{Assignment, Graded};
use crate::budget::parameters;
use crate::files;
use crate::train::{Outcome, Recipe};
use anyhow::Result;
use hh_core::config::Config;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What a run of a task ends with.
#[derive(Serialize, Debug)]
pub struct Report<'a> {
    task: &'a Assignment,
    model: &'a Config,
    parameters: usize,
    lr: f64,
    weight_decay: f64,
    batch: usize,
    seed: u64,
    /// Steps taken, and examples seen in them.
    steps: u64,
    examples_seen: u64,
    /// Whether held-out examples were answered as well as was asked for.
    solved: bool,
    /// Over all held-out examples, with the better of weights and average.
    nll: f64,
    accuracy: f64,
    /// The step of the weights that were examined.
    best_step: Option<u64>,
    exam: Vec<Map<String, Value>>,
}

impl<'a> Report<'a> {
    /// `None` for a run that was stopped before it was done, or is of no task.
    pub fn new(recipe: &'a Recipe, outcome: &Outcome, exam: &[Graded]) -> Option<Self> {
        let (task, whole, t) = (recipe.task.as_ref()?, outcome.whole?, &recipe.train);
        let accuracy = whole.accuracy.unwrap_or_default();
        Some(Self {
            task,
            model: &recipe.model,
            parameters: parameters(&recipe.model),
            lr: t.lr,
            weight_decay: t.weight_decay,
            batch: t.batch,
            seed: t.seed,
            steps: outcome.step,
            examples_seen: outcome.step * (t.batch * t.accumulate) as u64,
            solved: accuracy >= task.enough,
            nll: whole.better().0,
            accuracy,
            best_step: outcome.best.map(|best| best.step),
            exam: exam.iter().map(row).collect(),
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// One sentence where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        files::write_atomically(path, |w| w.write_all(text.as_bytes()))
    }
}

/// `{"delay": 100, "examples": 500, "asked": 5000, "nll": 0.01, "accuracy": 0.998}`
fn row(graded: &Graded) -> Map<String, Value> {
    let Graded { name, value, examples, marks } = graded;
    let mut row = Map::new();
    let figures =
        [("examples", json!(examples)), ("asked", json!(marks.asked)), ("nll", json!(marks.nll())), ("accuracy", json!(marks.accuracy()))];
    row.insert((*name).into(), json!(value));
    row.extend(figures.map(|(name, figure)| (name.to_owned(), figure)));
    row
}
