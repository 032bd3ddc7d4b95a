//! `task.json`: what came of a run that solved a task, or did not.

use super::{Assignment, ExamResult, completion};
use crate::budget::parameters;
use crate::files;
use crate::train::{Outcome, Recipe};
use anyhow::{Context, Result};
use hh_core::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The file of that name in a run's folder.
pub const REPORT: &str = "task.json";

/// Either kind of `task.json`.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum Reported {
    /// Of memories that were not trained.
    Completion(completion::Report),
    /// Of a model that was.
    Run(Report),
}

impl Reported {
    /// What lies in a folder, if anything.
    ///
    /// # Errors
    /// One sentence where it cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(REPORT);
        if !path.is_file() {
            return Ok(None);
        }
        let text = files::read_to_string(&path)?;
        let damaged = || format!("{} is not what a task writes; take it away, or run the task anew", path.display());
        serde_json::from_str(&text).map(Some).with_context(damaged)
    }
}

/// What a run of a task ends with.
#[derive(Serialize, Deserialize, Debug)]
pub struct Report {
    /// The task.
    pub task: Assignment,
    /// The model.
    pub model: Config,
    /// Its parameters.
    pub parameters: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Decoupled decay of matrices.
    pub weight_decay: f64,
    /// Examples of a step.
    pub batch: usize,
    /// Of examples, initial weights and dropout.
    pub seed: u64,
    /// Steps taken.
    pub steps: u64,
    /// Examples seen in them.
    pub examples_seen: u64,
    /// Whether held-out examples were answered as well as was asked for.
    pub solved: bool,
    /// Nats per answer over all held-out examples, with the better of weights and average.
    pub nll: f64,
    /// Share of right answers to them.
    pub accuracy: f64,
    /// The step of the weights that were examined.
    pub best_step: Option<u64>,
    /// A row for each exam: what varies, its value, and `examples`, `asked`, `nll`, `accuracy`.
    pub exam: Vec<Map<String, Value>>,
}

impl Report {
    /// `None` for a run that was stopped before it was done, or is of no task.
    pub fn new(recipe: &Recipe, outcome: &Outcome, exam: &[ExamResult]) -> Option<Self> {
        let (task, whole, t) = (recipe.task.clone()?, outcome.whole?, &recipe.train);
        let accuracy = whole.accuracy.unwrap_or_default();
        let solved = accuracy >= task.enough;
        Some(Self {
            task,
            model: recipe.model.clone(),
            parameters: parameters(&recipe.model),
            lr: t.lr,
            weight_decay: t.weight_decay,
            batch: t.batch,
            seed: t.seed,
            steps: outcome.step,
            examples_seen: outcome.step * (t.batch * t.accumulate) as u64,
            solved,
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
fn row(graded: &ExamResult) -> Map<String, Value> {
    let ExamResult { name, value, examples, score } = graded;
    let mut row = Map::new();
    let figures =
        [("examples", json!(examples)), ("asked", json!(score.asked)), ("nll", json!(score.nll())), ("accuracy", json!(score.accuracy()))];
    row.insert((*name).into(), json!(value));
    row.extend(figures.map(|(name, figure)| (name.to_owned(), figure)));
    row
}
