//! `task.json`: the results of a run on a task.

use super::{Assignment, ExamResult, completion};
use crate::budget::parameters;
use crate::files;
use crate::train::{Outcome, Recipe};
use anyhow::{Context, Result};
use hh_core::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Its file name in the run's folder.
pub const REPORT: &str = "task.json";

/// Either kind of `task.json`.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there are few instances")]
pub enum Reported {
    /// Pattern completion by untrained memories.
    Completion(completion::Report),
    /// A trained model.
    Run(Report),
}

impl Reported {
    /// Reads the `task.json` of a folder; `None` if there is none.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(REPORT);
        if !path.is_file() {
            return Ok(None);
        }
        let text = files::read_to_string(&path)?;
        let damaged = || format!("{} is not the report of a task; remove it, or run the task again", path.display());
        serde_json::from_str(&text).map(Some).with_context(damaged)
    }
}

/// The results of a run on a task.
#[derive(Serialize, Deserialize, Debug)]
pub struct Report {
    /// The task.
    pub task: Assignment,
    /// The model.
    pub model: Config,
    /// Its number of parameters.
    pub parameters: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Examples per step.
    pub batch: usize,
    /// Seed of examples, initial weights and dropout.
    pub seed: u64,
    /// Number of steps.
    pub steps: u64,
    /// Number of training examples seen, with repetitions.
    pub examples_seen: u64,
    /// Whether the held-out accuracy reached [`Assignment::enough`].
    pub solved: bool,
    /// Nats per answer over all held-out examples, with the better of the weights and their average.
    pub nll: f64,
    /// Accuracy on all held-out examples.
    pub accuracy: f64,
    /// The step of the weights of the final test.
    pub best_step: Option<u64>,
    /// The rows of the final test: the value of the varied setting, and `examples`, `asked`, `nll`, `accuracy`.
    pub exam: Vec<Map<String, Value>>,
}

impl Report {
    /// `None` for a run that was stopped early or has no task.
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

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        files::write_atomically(path, |w| w.write_all(text.as_bytes()))
    }
}

/// `{"delay": 100, "examples": 500, "asked": 5000, "nll": 0.01, "accuracy": 0.998}`
fn row(result: &ExamResult) -> Map<String, Value> {
    let ExamResult { name, value, examples, score } = result;
    let mut row = Map::new();
    let figures =
        [("examples", json!(examples)), ("asked", json!(score.asked)), ("nll", json!(score.nll())), ("accuracy", json!(score.accuracy()))];
    row.insert((*name).into(), json!(value));
    row.extend(figures.map(|(name, figure)| (name.to_owned(), figure)));
    row
}
