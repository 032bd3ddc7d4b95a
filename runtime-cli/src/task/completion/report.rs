//! `task.json` of pattern completion.

use super::{COMPLETE, Completion, Row};
use serde::{Deserialize, Serialize};

/// What was asked, and what came of it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// What was asked.
    pub task: Asked,
    /// Largest error of a completed pattern, as a part of the mean square of a component.
    pub complete_error: f64,
    /// Every memory and probe of one number of patterns: that nearest 100.
    pub table: Vec<Row>,
}

/// The task under its name, as every `task.json` has it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Asked {
    /// The task.
    pub completion: Completion,
}

impl Report {
    /// Of all rows.
    pub fn new(task: &Completion, rows: &[Row]) -> Self {
        let told = task.patterns.iter().copied().min_by_key(|n| n.abs_diff(100)).unwrap_or_default();
        let table = rows.iter().filter(|row| row.patterns == told).cloned().collect();
        Self { task: Asked { completion: task.clone() }, complete_error: COMPLETE, table }
    }

    /// Patterns that the memories of the table store.
    pub fn patterns(&self) -> usize {
        self.table.first().map_or(0, |row| row.patterns)
    }

    /// For each probe its words, and the share that each of [`MEMORIES`](super::MEMORIES) completes.
    pub fn shares(&self) -> Vec<(String, [f64; super::MEMORIES.len()])> {
        let share = |memory: &str, probe| {
            let found = self.table.iter().find(|row| row.memory == memory && row.probe == probe);
            found.map_or(f64::NAN, |row| row.completed)
        };
        let probes = self.table.iter().filter(|row| row.memory == super::MEMORIES[0]).map(|row| row.probe);
        probes.map(|probe| (probe.to_string(), super::MEMORIES.map(|memory| share(memory, probe)))).collect()
    }
}
