//! The HTML page.

use super::find::{Found, Kind};
use super::sample::Sample;
use super::{tables, tasks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// The page about the results found in the folder `name`; `samples` has one entry for each of them. It links to the files of runs if
/// it lies in that folder.
pub fn page(name: &str, found: &[Found], samples: &[Option<Sample>], lies_there: bool) -> String {
    let runs = || found.iter().enumerate().filter_map(|(index, one)| Some((index, title(name, one), one.kind.run()?)));
    let tasks: Vec<_> = runs().filter_map(|(_, _, run)| Some((run.task.as_ref()?, run.recipe.train.steps))).collect();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (name) }
                    p { "Written by hh-runtime " (env!("CARGO_PKG_VERSION")) ". Losses are plain negative log-likelihoods of held-out text." }
                    @if found.len() > 1 {
                        nav { ul { @for (index, one) in found.iter().enumerate() { li { a href={ "#f" (index) } { (title(name, one)) } } } } }
                    }
                }
                main {
                    @if runs().count() > 1 { section { h2 { "All runs" } div.wide { (tables::runs(runs())) } } }
                    @if tasks.len() > 1 { section { h2 { "Memory benchmarks" } (tasks::all(&tasks)) } }
                    @for (index, (one, sample)) in found.iter().zip(samples).enumerate() {
                        section id={ "f" (index) } { h2 { (title(name, one)) } (body(one, sample.as_ref(), lies_there)) }
                    }
                }
            }
        }
    };
    markup.into_string()
}

fn title<'a>(name: &'a str, found: &'a Found) -> &'a str {
    if found.name.is_empty() { name } else { &found.name }
}

fn body(found: &Found, sample: Option<&Sample>, lies_there: bool) -> Markup {
    html! {
        @match &found.kind {
            Kind::Run(run) => {
                div.wide { (tables::run(run, lies_there.then_some(&found.name))) }
                @if let Some(report) = &run.task { div.wide { (tasks::exam(report)) } }
            }
            Kind::Ablation(table) => { div.wide { (tables::ablation(table)) } }
            Kind::Probe(report) => { div.wide { (tables::probe(report)) } }
            Kind::Completion(report) => { div.wide { (tasks::completion(report)) } }
        }
        @for (name, svg) in &found.pictures {
            figure { img alt={ (name) " of " (found.name) } src={ "data:image/svg+xml;base64," (STANDARD.encode(svg)) }; }
        }
        @if let Some(sample) = sample {
            h3 { "Sample" }
            pre { (sample.text) }
            p.note { "temperature " (sample.temperature) ", seed " (sample.seed) }
            @if !sample.gates.is_empty() { (tables::gates(&sample.gates)) }
        }
    }
}
