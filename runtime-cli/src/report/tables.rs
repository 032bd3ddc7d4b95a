//! The tables of the page.

use super::find::Run;
use super::sample::LayerGates;
use crate::ablate::Table;
use crate::budget::parameters;
use crate::files::percent_encoded;
use crate::probe::Report;
use crate::train::{Evaluation, Record, thousands};
use hh_core::config::PATHS;
use maud::{Markup, html};

/// The last validation over the whole held-out text, or else the last one over a part of it.
pub(super) fn last(records: &[Record]) -> Option<Evaluation> {
    let of = |record: &Record| if let Record::Evaluation(e) = record { Some(*e) } else { None };
    let all = || records.iter().rev().filter_map(of);
    all().find(|e| e.whole).or_else(|| all().next())
}

/// Number of steps of a run so far.
fn steps(records: &[Record]) -> u64 {
    let of = |record: &Record| match record {
        Record::Step(step) => step.step,
        Record::Evaluation(evaluation) => evaluation.step,
    };
    records.iter().map(of).max().unwrap_or(0)
}

/// Properties of a run, one per row; its files are links where the page lies above its folder `below`.
pub(super) fn run(Run { recipe, records, files: made, .. }: &Run, below: Option<&str>) -> Markup {
    let (t, c, done) = (&recipe.train, &recipe.model, steps(records));
    let paths: Vec<_> = (0..3).filter(|&path| (0..c.layers).any(|layer| c.on(layer)[path])).map(|path| PATHS[path]).collect();
    let (seen, unit) = (done * recipe.seen_per_step(), if recipe.objective.is_some() { "texts" } else { "tokens" });
    let files: Vec<_> = recipe.data.files.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy()).collect();
    html! {
        table.facts {
            tr { th { "parameters" } td { (thousands(parameters(c) as u64)) } }
            tr { th { "paths" } td { (paths.join(", ")) " in " (c.layers) " layers" @if c.segments > 1 { ", " (c.segments) " segments" } } }
            @match &recipe.task {
                Some(task) => { tr { th { "task" } td { (task.kind.name()) } } }
                None => { tr { th { "text" } td { (files.join(", ")) } } }
            }
            tr { th { "seen" } td { (thousands(seen)) " " (unit) " in " (thousands(done)) " of " (thousands(t.steps)) " steps, seed " (t.seed) } }
            @if let Some(e) = last(records) {
                tr {
                    th { "validation" }
                    td {
                        (format!("{:.4} {}", e.validation, recipe.unit()))
                        @if let Some(average) = e.validation_ema { (format!(", {average:.4} with averaged weights")) }
                        ", over " (thousands(e.scored)) " held-out " (unit)
                        @if !e.whole { " (during training: the run is not complete)" }
                    }
                }
            }
            tr {
                th { "files" }
                td {
                    @for (i, file) in made.iter().enumerate() {
                        @if i > 0 { ", " }
                        @match below {
                            Some(folder) => { a href={ (address(folder)) (file) } { (file) } }
                            None => { (file) }
                        }
                    }
                }
            }
        }
    }
}

/// The address of a folder relative to the page.
fn address(folder: &str) -> String {
    if folder.is_empty() { "./".to_owned() } else { format!("./{}/", percent_encoded(folder)) }
}

/// All runs, one per row.
pub(super) fn runs<'a>(runs: impl Iterator<Item = (usize, &'a str, &'a Run)>) -> Markup {
    html! {
        table {
            thead { tr { th { "run" } th.n { "parameters" } th.n { "steps" } th.n { "seed" } th.n { "validation" } th { "in" } } }
            tbody {
                @for (index, name, Run { recipe, records, .. }) in runs {
                    tr {
                        td { a href={ "#f" (index) } { (name) } }
                        td.n { (thousands(parameters(&recipe.model) as u64)) }
                        td.n { (thousands(steps(records))) }
                        td.n { (recipe.train.seed) }
                        td.n { @if let Some(e) = last(records) { (format!("{:.4}", e.validation_ema.unwrap_or(e.validation))) } }
                        td { (recipe.unit()) }
                    }
                }
            }
        }
    }
}

/// The variants of an ablation.
pub(super) fn ablation(table: &Table) -> Markup {
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
    let files: Vec<_> = table.data.iter().map(|origin| origin.name.as_str()).collect();
    html! {
        p {
            "Each variant was trained from scratch on " (thousands(table.tokens)) " tokens of " (files.join(", ")) " (" (table.split)
            "), with as many parameters as the base (its feed-forward width is adjusted). nll is in nats per token over the held-out \
             text; the deviation is over seeds (n − 1)."
        }
        table {
            thead {
                tr {
                    th { "group" } th { "variant" } th.n { "parameters" } th.n { "seeds" } th.n { "nll" } th.n { "deviation" }
                    th.n { "vs. base" }
                }
            }
            tbody {
                @for line in &table.lines {
                    tr {
                        td { (line.group) }
                        td { (line.name) }
                        td.n { (thousands(line.parameters as u64)) }
                        td.n { (line.runs.len()) }
                        td.n { (number(line.mean)) }
                        td.n { (number(line.deviation)) }
                        td.n {
                            @if let Some((difference, spread)) = line.against_base {
                                (format!("{difference:+.4}"))
                                @if let Some(spread) = spread { (format!(" ± {spread:.4}")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The knock-outs in the whole model.
pub(super) fn probe(report: &Report) -> Markup {
    let (from, found) = (&report.provenance, &report.findings);
    html! {
        p {
            "Parts of " (from.checkpoint) " knocked out one at a time, scored on " (thousands(found.tokens)) " tokens, " (from.part)
            ", in windows of " (found.context) ". A difference measures how much this model depends on a part, not what the part could do in \
             a model trained without the others."
            @if !found.complete { " The probe was stopped early." }
        }
        table {
            thead { tr { th { "knocked out" } th.n { "nll" } th.n { "difference" } th.n { "± error" } } }
            tbody {
                @for row in found.rows.iter().filter(|row| row.layer.is_none()) {
                    tr {
                        td { (row.name) }
                        td.n { (format!("{:.4}", row.nll)) }
                        td.n { (format!("{:+.4}", row.difference)) }
                        td.n { @if let Some(error) = row.standard_error.filter(|&error| error > 0.0) { (format!("{error:.4}")) } }
                    }
                }
            }
        }
    }
}

/// Mean gates, one bar per layer.
pub(super) fn gates(layers: &[LayerGates]) -> Markup {
    html! {
        table.gates {
            caption { "Mean gate of each path in each layer over this sample" }
            @for (index, layer) in layers.iter().enumerate() {
                @let total: f32 = layer.iter().flatten().sum();
                tr {
                    th { "layer " (index) }
                    td {
                        div.bar {
                            @for (path, gate) in PATHS.iter().zip(layer) {
                                @if let Some(gate) = gate {
                                    span.(*path) style={ "width:" (format!("{:.2}", 100.0 * gate / total.max(1e-9))) "%" } title=(path) {
                                        (format!("{gate:.2}"))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.key { @for path in PATHS { span.(path) {} " " (path) " " } }
    }
}
