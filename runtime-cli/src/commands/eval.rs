//! `hh-runtime eval`: nll, perplexity and bits per byte of a checkpoint on a text.

use super::text::{PartArgs, Split, TextArgs};
use crate::data::Windows;
use crate::evaluate::{Carried, Evaluator, Figures};
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::progress::Bar;
use crate::stdout;
use anyhow::{Result, bail};
use hh_core::backend::{Backward, Forward};
use hh_core::session::EPISODES;
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
first is scored exactly once. With --stream the state runs through the whole text instead: that of the layers and the items \
of the episodic memory, if the model has one. nll is in nats per token, perplexity is exp(nll), and bits per byte is comparable between \
tokenizers; for a word vocabulary it counts the bytes of the words as spelled in the vocabulary.";

/// Arguments of `eval`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub
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
    /// Score the text as one stream: what is carried from one window to the next [default: all]
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all", require_equals = true)]
    stream: Option<Stream>,
    /// Items of the episodic memory that a position sees in a stream [default: the model's window, or 4096]
    #[arg(long, value_name = "N", requires = "stream", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    episodes: Option<u32>,
    /// Tokenizer, for a checkpoint without one: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) machine: Machine,
}

/// What a stream carries.
#[derive(clap::ValueEnum, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Stream {
    /// The episodic memory and the states of the layers
    All,
    /// The episodic memory alone; the layers begin again in each window
    Memory,
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::files::display")]
    checkpoint: PathBuf,
    data: String,
    split: Split,
    context: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
    /// Items of the episodic memory that a position of a stream sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    episodes: Option<usize>,
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
    let how = match report.stream {
        None => format!("windows of {} tokens", report.context),
        Some(stream) => {
            let carried = if stream == Stream::All { "as one stream" } else { "with the memory of the stream" };
            let episodes = report.episodes.map_or(String::new(), |n| format!(" and an episodic memory of {n} items"));
            format!("{carried}, in windows of {} tokens{episodes}", report.context)
        }
    };
    writeln!(out, "{} on {part}, {how}", report.checkpoint.display())?;
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
    if args.stream == Some(Stream::Memory) && loaded.model.config.episodic_width == 0 {
        bail!("--stream=memory needs a model with an episodic memory; give it one with train --from CHECKPOINT --only episodic");
    }
    let text = args.part.stream(&args.text, &*loaded.tokenizer)?;
    let segments = match &args.segments[..] {
        [] => vec![loaded.model.config.segments],
        some => some.iter().map(|&s| usize::from(s)).collect(),
    };
    // A short text fills neither a long window nor a large batch; do not allocate what stays empty.
    let time = time.min((text.len() - 1) as usize);
    let windows = Windows::new(&text, time);
    let batch = if args.stream.is_some() { 1 } else { u64::from(args.batch).min(windows.count()) as usize };
    let c = &loaded.model.config;
    let episodes = (args.stream.is_some() && c.episodic_width > 0).then_some(match (args.episodes, c.episodic_window) {
        (Some(n), _) => n as usize,
        (None, 0) => EPISODES,
        (None, window) => window,
    });
    let mut evaluator = Evaluator::new(backend, &loaded.model, batch, time)?;
    let results = segments
        .into_iter()
        .map(|segments| {
            let bar = Bar::new("{msg} {bar:30} {percent}% {eta}", 0, 0);
            bar.set_message(format!("segments {segments}"));
            let progress = |done, of| {
                bar.set_length(of);
                bar.set(done);
            };
            let score = match args.stream {
                None => evaluator.score(windows, &*loaded.tokenizer, segments, progress)?,
                Some(stream) => {
                    let carried = Carried { episodes: episodes.unwrap_or(1), layers: stream == Stream::All };
                    evaluator.stream(windows, &*loaded.tokenizer, segments, carried, progress)?
                }
            };
            bar.finish();
            Ok(Row { segments, figures: score.figures() })
        })
        .collect::<Result<_>>()?;
    Ok(Report {
        checkpoint: source.path().to_owned(),
        data: args.text.name(),
        split: args.part.split,
        context: time,
        stream: args.stream,
        episodes,
        results,
    })
}
