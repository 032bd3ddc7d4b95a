//! What a training run prints at its start and at its end.

use crate::features::Feature;
use crate::files::shown;
use crate::generate::write;
use crate::loading;
use crate::machine::BackendJob;
use crate::stderr::say;
use crate::stdout;
use crate::train::{Evaluation, Outcome, Recipe, RunFolder, Source, TrainingData};
use anyhow::Result;
use hh::{Decoder, StopStrings, TextSession};
use hh_core::backend::Backward;
use hh_core::sample::{Sampler, SamplerConfig};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Prints what is trained, on what and where.
pub(super) fn print_start(recipe: &Recipe, source: &Source, folder: &RunFolder, place: &str, ranks: usize) {
    let (t, c) = (&recipe.train, &recipe.model);
    let weights: usize = hh_core::model::shapes(c).iter().map(|(_, shape)| shape.count()).sum();
    let (amount, of, each) = match &source.training_data {
        TrainingData::Tokens(data) => (data.train.len(), data.validation.len(), "tokens"),
        TrainingData::Pairs(pairs) => (pairs.rows() as u64, pairs.held_out() as u64, "rows of texts"),
    };
    say(format_args!("{:.2}M parameters, vocabulary {}; {amount} {each} for training, {of} held out", weights as f64 / 1e6, c.vocab_size));
    let accumulated = if t.accumulate > 1 { format!(" × {}", t.accumulate) } else { String::new() };
    let batch = match &source.training_data {
        TrainingData::Tokens(_) => format!("{} × {}{accumulated} tokens", t.batch, t.context),
        TrainingData::Pairs(_) => format!("{}{accumulated} texts of at most {} tokens", t.batch, t.context),
    };
    let shared = if ranks > 1 { format!(", shared by {ranks} ranks, each") } else { String::new() };
    say(format_args!("{} steps of {batch}{shared} on {place}; output: {}", t.steps, shown(folder.path())));
}

/// Prints the results of the run.
fn summary(out: &mut impl Write, recipe: &Recipe, folder: &RunFolder, outcome: &Outcome, whole: &Evaluation, ranks: usize) -> Result<()> {
    let seen = if recipe.objective.is_some() { "texts" } else { "tokens" };
    let average = whole.validation_ema.map_or(String::new(), |nll| format!(", {nll:.4} with averaged weights"));
    writeln!(out)?;
    writeln!(out, "validation   {:.4} {}{average}, over {} held-out {seen}", whole.validation, recipe.unit(), whole.scored)?;
    if let Some(best) = outcome.best {
        let which = if best.average { "averaged weights" } else { "weights" };
        writeln!(out, "best         {which} of step {}, {:.4} in its validation: {}", best.step, best.nll, shown(&folder.best()))?;
    }
    if ranks > 1 && outcome.bytes_sent > 0.0 {
        let parameters: usize = hh_core::model::shapes(&recipe.model).iter().map(|(_, shape)| shape.count()).sum();
        let least = 8.0 * (ranks - 1) as f64 / ranks as f64 * parameters as f64;
        let what = if recipe.train.local_steps > 0 { "the least for a sum in every step" } else { "the least possible" };
        let (sent, times) = (outcome.bytes_sent / 1e6, outcome.bytes_sent / least);
        writeln!(out, "ranks        {ranks}, {sent:.2} MB sent by each per step, {times:.3} × {what}")?;
    }
    Ok(())
}

/// Prints the last lines: files, time, and what to do next.
fn closing(out: &mut impl Write, recipe: &Recipe, folder: &RunFolder, outcome: &Outcome, began: Instant) -> Result<()> {
    let (seen, next) = if recipe.objective.is_some() { ("texts", "eval-embeddings") } else { ("tokens", "sample") };
    writeln!(out, "curve        {}", Feature::Plots.file(&folder.curve()))?;
    let speed = outcome.tokens_per_second;
    let speed = if speed > 0.0 { format!(", {speed:.0} {seen}/s while training") } else { String::new() };
    writeln!(out, "time         {:.0} s{speed}", began.elapsed().as_secs_f64())?;
    writeln!(out, "next         hh-runtime {next} {}", shown(&folder.best()))?;
    Ok(())
}

fn sample<B: Backward>(mut backend: B, file: &loading::Source, out: &mut impl Write, go_on: &dyn Fn() -> bool) -> Result<()> {
    let loaded = file.load(&mut backend, None)?;
    let (c, tokenizer) = (&loaded.model.config, &*loaded.tokenizer);
    // About four hundred characters.
    let count = if c.vocab_size < 1000 { 400 } else { 100 };
    let context = loaded.context.max(count + 1).min(hh::context_limit(c));
    let sampler = Sampler::new(SamplerConfig { temperature: 0.8, seed: 1, ..SamplerConfig::default() }, tokenizer.vocab_size())?;
    let mut decoder = Decoder::new(sampler, StopStrings::default(), tokenizer).ignoring_end_of_text();
    let mut session = TextSession::new(backend, &loaded, Some(context), None)?;
    // Starts after a line break, or after the first id if the vocabulary has none.
    session.queue(&tokenizer.encode("\n").ok().filter(|ids| !ids.is_empty()).unwrap_or_else(|| vec![0]));
    write(&mut session, &mut decoder, count.min(context - 1), out, go_on)?;
    Ok(())
}

/// What follows the last step: a sample and a summary.
pub(super) struct Conclusion<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) folder: &'a RunFolder,
    pub(super) outcome: &'a Outcome,
    pub(super) began: Instant,
    pub(super) stop: &'a AtomicBool,
    /// Number of ranks.
    pub(super) size: usize,
}

impl BackendJob for Conclusion<'_> {
    type Output = ();

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<()> {
        let Self { recipe, folder, outcome, began, stop, size } = self;
        let Some(whole) = outcome.whole else { return Ok(()) };
        let mut out = stdout::lock();
        if recipe.objective.is_none() {
            writeln!(out)?;
            sample(make()?, &loading::Source::open(&folder.best())?, &mut out, &|| !stop.load(Ordering::Relaxed))?;
            writeln!(out)?;
        }
        summary(&mut out, recipe, folder, outcome, &whole, size)?;
        closing(&mut out, recipe, folder, outcome, began)
    }
}
