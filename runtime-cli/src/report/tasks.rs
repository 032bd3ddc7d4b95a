//! The tables of memory tasks.

use crate::stats::moments;
use crate::task::{Report, completion};
use crate::train::thousands;
use hh_core::config::{Config, PATHS};
use maud::{Markup, html};
use serde_json::Value;

/// Runs that differ in their seed alone.
struct Same<'a> {
    steps: u64,
    reports: Vec<&'a Report>,
}

impl Same<'_> {
    /// Mean and deviation of what the exam of that row found; none for a row that is not there.
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

/// All runs of tasks, each with the steps that it might have taken: a table for each task, a row for runs that differ in their seed alone.
pub(super) fn all(runs: &[(&Report, u64)]) -> Markup {
    let mut tasks: Vec<Vec<Same<'_>>> = Vec::new();
    for &(report, steps) in runs {
        let of_task = match tasks.iter_mut().find(|rows| rows[0].reports[0].task.kind == report.task.kind) {
            Some(rows) => rows,
            None => tasks.push_mut(Vec::new()),
        };
        let same = |row: &&mut Same<'_>| {
            let other = row.reports[0];
            let settings = |r: &Report| (r.lr, r.weight_decay, r.batch);
            row.steps == steps && other.task == report.task && other.model == report.model && settings(other) == settings(report)
        };
        match of_task.iter_mut().find(same) {
            Some(row) => row.reports.push(report),
            None => of_task.push(Same { steps, reports: vec![report] }),
        }
    }
    html! { @for rows in &tasks { (task(rows)) } }
}

fn task(rows: &[Same<'_>]) -> Markup {
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
        p.note { "Share of right answers, mean and deviation of the seeds (n − 1); the columns to the right are asked through the state." }
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

/// What varies from row to row of an exam, and its value in this one.
fn varied(row: &serde_json::Map<String, Value>) -> (&str, &Value) {
    const FIGURES: [&str; 4] = ["examples", "asked", "nll", "accuracy"];
    row.iter().find(|(name, _)| !FIGURES.contains(&name.as_str())).map_or(("", &Value::Null), |(name, value)| (name, value))
}

/// What a run was asked when it was done.
pub(super) fn exam(report: &Report) -> Markup {
    html! {
        p {
            (settings(&report.task.kind)) ". " @if report.solved { "Solved" } @else { "Not solved" } " after " (thousands(report.examples_seen))
            " examples: " (format!("{:.4}", report.accuracy)) " of the answers to held-out ones are right."
        }
        table {
            thead { tr { th { "asked through the state" } th.n { "examples" } th.n { "nll" } th.n { "accuracy" } } }
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

/// What memories complete.
pub(super) fn completion(report: &completion::Report) -> Markup {
    html! {
        p { "Share of " (report.patterns()) " stored patterns of " (report.task.completion.dimension) " components that each memory completes, untrained." }
        table {
            thead { tr { th { "spoilt by" } @for memory in completion::MEMORIES { th.n { (memory) } } } }
            tbody {
                @for (probe, shares) in report.shares() {
                    tr { td { (probe) } @for share in shares { td.n { (format!("{share:.3}")) } } }
                }
            }
        }
    }
}
