//! The tables of the memory benchmarks.

use crate::stats::moments;
use crate::task::{Report, completion};
use crate::train::thousands;
use hh_core::config::{Config, PATHS};
use maud::{Markup, html};
use serde_json::Value;

/// Runs that differ only in their seed.
struct Seeds<'a> {
    steps: u64,
    reports: Vec<&'a Report>,
}

impl Seeds<'_> {
    /// Mean and deviation of the accuracy in a row of the final test, or of the held-out accuracy if `row` is `None`; empty if
    /// there is no such row.
    fn accuracy(&self, row: Option<usize>) -> String {
        let of = |report: &&Report| match row {
            None => Some(report.accuracy),
            Some(row) => report.exam.get(row)?.get("accuracy")?.as_f64(),
        };
        let values: Vec<f64> = self.reports.iter().filter_map(of).collect();
        match moments(&values) {
            None => String::new(),
            Some((mean, None)) => format!("{mean:.4}"),
            Some((mean, Some(deviation))) => format!("{mean:.4} ± {deviation:.4}"),
        }
    }
}

/// All runs of tasks, each with its maximum steps: one table per task, one row for runs that differ only in their seed.
pub(super) fn all(runs: &[(&Report, u64)]) -> Markup {
    let mut tasks: Vec<Vec<Seeds<'_>>> = Vec::new();
    for &(report, steps) in runs {
        let of_task = match tasks.iter_mut().find(|rows| rows[0].reports[0].task.kind == report.task.kind) {
            Some(rows) => rows,
            None => tasks.push_mut(Vec::new()),
        };
        let same = |row: &&mut Seeds<'_>| {
            let other = row.reports[0];
            let settings = |r: &Report| (r.lr, r.weight_decay, r.batch);
            row.steps == steps && other.task == report.task && other.model == report.model && settings(other) == settings(report)
        };
        match of_task.iter_mut().find(same) {
            Some(row) => row.reports.push(report),
            None => of_task.push(Seeds { steps, reports: vec![report] }),
        }
    }
    html! { @for rows in &tasks { (task(rows)) } }
}

fn task(rows: &[Seeds<'_>]) -> Markup {
    let first = rows[0].reports[0];
    html! {
        h3 { (first.task.kind.name()) }
        p.note { (settings(&first.task.kind)) }
        div.wide {
            table {
                thead {
                    tr {
                        th { "paths" } th.n { "width" } th.n { "layers" } th.n { "parameters" } th.n { "seeds" } th.n { "examples seen" } th.n { "held out" }
                        @for (name, value) in first.exam.iter().map(varied) { th.n { (name) " " (value) } }
                    }
                }
                tbody {
                    @for row in rows {
                        @let report = row.reports[0];
                        @let seen = row.reports.iter().map(|report| report.examples_seen).sum::<u64>() / row.reports.len() as u64;
                        tr {
                            td { (paths(&report.model)) }
                            td.n { (report.model.width) }
                            td.n { (report.model.layers) }
                            td.n { (thousands(report.parameters as u64)) }
                            td.n { (row.reports.len()) }
                            td.n { (thousands(seen)) }
                            td.n { (row.accuracy(None)) }
                            @for exam in 0..first.exam.len() { td.n { (row.accuracy(Some(exam))) } }
                        }
                    }
                }
            }
        }
        p.note { "Accuracy, mean and deviation over seeds (n − 1); the columns to the right are the final test, run recurrently." }
    }
}

/// The paths that a model has.
fn paths(c: &Config) -> String {
    let on = |path: &usize| (0..c.layers).any(|layer| c.on(layer)[*path]);
    (0..PATHS.len()).filter(on).map(|path| PATHS[path]).collect::<Vec<_>>().join(" + ")
}

/// `length 64, pairs 4, …`
fn settings(kind: &crate::task::Kind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    let fields = value.as_object().and_then(|kinds| kinds.values().next()).and_then(Value::as_object);
    let words = fields.into_iter().flatten().map(|(name, value)| format!("{} {value}", name.replace('_', " ")));
    words.collect::<Vec<_>>().join(", ")
}

/// Name and value of the setting that varies between the rows of the final test.
fn varied(row: &serde_json::Map<String, Value>) -> (&str, &Value) {
    const FIGURES: [&str; 4] = ["examples", "asked", "nll", "accuracy"];
    row.iter().find(|(name, _)| !FIGURES.contains(&name.as_str())).map_or(("", &Value::Null), |(name, value)| (name, value))
}

/// The final test of a run.
pub(super) fn exam(report: &Report) -> Markup {
    html! {
        p {
            (settings(&report.task.kind)) ". " @if report.solved { "Solved" } @else { "Not solved" } " after " (thousands(report.examples_seen))
            " examples: " (format!("{:.4}", report.accuracy)) " accuracy on held-out examples."
        }
        table {
            thead { tr { th { "final test, run recurrently" } th.n { "examples" } th.n { "nll" } th.n { "accuracy" } } }
            tbody {
                @for row in &report.exam {
                    @let (name, value) = varied(row);
                    @let number = |name: &str| row.get(name).and_then(Value::as_f64).map_or(String::new(), |number| format!("{number:.4}"));
                    tr {
                        td { (name) " " (value) }
                        td.n { (row.get("examples").unwrap_or(&Value::Null)) }
                        td.n { (number("nll")) }
                        td.n { (number("accuracy")) }
                    }
                }
            }
        }
    }
}

/// Pattern completion by memories.
pub(super) fn completion(report: &completion::Report) -> Markup {
    html! {
        p { "Fraction of " (report.patterns()) " stored patterns of " (report.task.completion.dimension) " components that each memory completes, untrained." }
        table {
            thead { tr { th { "corruption" } @for memory in completion::MEMORIES { th.n { (memory) } } } }
            tbody {
                @for (probe, shares) in report.shares() {
                    tr { td { (probe) } @for share in shares { td.n { (format!("{share:.3}")) } } }
                }
            }
        }
    }
}
