//! `task.json` of pattern completion.

use super::{COMPLETE, Completion, Row};
use serde::{Deserialize, Serialize};

/// Options and results of the benchmark.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// The options.
    pub task: NamedTask,
    /// Largest mean squared error of a completed pattern, relative to the mean square of a component.
    pub complete_error: f64,
    /// Every memory and probe, for the number of patterns nearest to 100.
    pub table: Vec<Row>,
}

/// The options under the name of the task, as in every `task.json`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct NamedTask {
    /// The options.
    pub completion: Completion,
}

impl Report {
    /// The report of these rows.
    pub fn new(task: &Completion, rows: &[Row]) -> Self {
        let patterns = task.patterns.iter().copied().min_by_key(|n| n.abs_diff(100)).unwrap_or_default();
        let table = rows.iter().filter(|row| row.patterns == patterns).cloned().collect();
        Self { task: NamedTask { completion: task.clone() }, complete_error: COMPLETE, table }
    }

    /// Number of stored patterns in the table.
    pub fn patterns(&self) -> usize {
        self.table.first().map_or(0, |row| row.patterns)
    }

    /// For each probe its display name, and the fraction that each of [`MEMORIES`](super::MEMORIES) completes.
    pub fn shares(&self) -> Vec<(String, [f64; super::MEMORIES.len()])> {
        let share = |memory: &str, probe| {
            let found = self.table.iter().find(|row| row.memory == memory && row.probe == probe);
            found.map_or(f64::NAN, |row| row.completed)
        };
        let probes = self.table.iter().filter(|row| row.memory == super::MEMORIES[0]).map(|row| row.probe);
        probes.map(|probe| (probe.to_string(), super::MEMORIES.map(|memory| share(memory, probe)))).collect()
    }
}
