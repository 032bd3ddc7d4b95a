//! `hh-runtime eval`: nll, perplexity and bits per byte of a checkpoint on a text.

use super::text::{PartArgs, Split, TextArgs};
use crate::data::Windows;
use crate::evaluate::{Evaluator, Figures};
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::progress::Bar;
use crate::stdout;
use anyhow::Result;
use hh_core::backend::{Backward, Forward};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime eval runs/char-0.8m-1
      the best weights of a run on the held-out part of the built-in corpus
  hh-runtime eval runs/shakespeare --data input.txt
      on the last tenth of input.txt, which training held out
  hh-runtime eval model.safetensors --data wiki.test.tokens --split all --segments 1,2,3
      on a whole file, with one, two and three passes over the blocks

The text is split into consecutive windows of --context tokens, each scored from an empty state, so every token except the \
first is scored exactly once. nll is in nats per token, perplexity is exp(nll), and bits per byte is comparable between \
tokenizers; for a word vocabulary it counts the bytes of the words as spelled in the vocabulary.";

/// Arguments of `eval`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or a run folder (its best.safetensors is used)
    checkpoint: PathBuf,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    part: PartArgs,
    /// Window length in tokens [default: the training context]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: Option<u32>,
    /// Windows per batch
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Passes over the blocks; one row of results for each value [default: the model's]
    #[arg(long, value_name = "S", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Vec<u8>,
    /// Tokenizer, for a checkpoint without one: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::files::display")]
    checkpoint: PathBuf,
    data: String,
    split: Split,
    context: usize,
    results: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    segments: usize,
    #[serde(flatten)]
    figures: Figures,
}

/// Evaluates a checkpoint and prints the results.
///
/// # Errors
/// An invalid checkpoint, text or option, or a device that is unavailable or fails.
pub fn run(args: Args, backends: &impl Backends) -> Result<()> {
    let source = Source::open(&args.checkpoint)?;
    let report = backends.run(&args.machine, Job { args: &args, source: &source })?;
    let mut out = stdout::lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let part = args.part.name(&args.text);
    writeln!(out, "{} on {part}, windows of {} tokens", report.checkpoint.display(), report.context)?;
    writeln!(out, "{:>8}  {:>8}  {:>10}  {:>13}  {:>10}", "segments", "nll", "perplexity", "bits per byte", "tokens")?;
    for Row { segments, figures: f } in &report.results {
        writeln!(out, "{segments:>8}  {:>8.4}  {:>10.3}  {:>13.4}  {:>10}", f.nll, f.perplexity, f.bits_per_byte, f.tokens)?;
    }
    Ok(())
}

struct Job<'a> {
    args: &'a Args,
    source: &'a Source,
}

impl BackendJob for Job<'_> {
    type Output = Report;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Report> {
        on(make()?, self.args, self.source)
    }
}

fn on<B: Forward>(mut backend: B, args: &Args, source: &Source) -> Result<Report> {
    let loaded = source.load(&mut backend, args.tokenizer.as_deref())?;
    let time = loaded.session_context(args.context.map(|n| n as usize))?;
    let text = args.part.stream(&args.text, &*loaded.tokenizer)?;
    let segments = match &args.segments[..] {
        [] => vec![loaded.model.config.segments],
        some => some.iter().map(|&s| usize::from(s)).collect(),
    };
    // A short text fills neither a long window nor a large batch; do not allocate what stays empty.
    let time = time.min((text.len() - 1) as usize);
    let windows = Windows::new(&text, time);
    let batch = u64::from(args.batch).min(windows.count()) as usize;
    let mut evaluator = Evaluator::new(backend, &loaded.model, batch, time)?;
    let results = segments
        .into_iter()
        .map(|segments| {
            let bar = Bar::new("{msg} {bar:30} {percent}% {eta}", 0, 0);
            bar.set_message(format!("segments {segments}"));
            let score = evaluator.score(windows, &*loaded.tokenizer, segments, |done, of| {
                bar.set_length(of);
                bar.set(done);
            })?;
            bar.finish();
            Ok(Row { segments, figures: score.figures() })
        })
        .collect::<Result<_>>()?;
    Ok(Report { checkpoint: source.path().to_owned(), data: args.text.name(), split: args.part.split, context: time, results })
}
