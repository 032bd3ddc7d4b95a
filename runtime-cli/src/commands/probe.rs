//! `hh-runtime probe`: measures what a trained model depends on, by knock-outs.

use super::text::{PartArgs, TextArgs};
use super::train::{STOPPED, listen};
use crate::files;
use crate::loading::{self, Source};
use crate::machine::{BackendJob, Backends, Machine};
use crate::probe::{Findings, Options, Progress, Provenance, Report, probe};
use crate::stderr::say;
use crate::train::SourceFile;
use anyhow::{Result, bail};
use hh_core::backend::{Backward, Forward};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Start of `probe --help`.
pub const ABOUT: &str = "\
Knock out one part of a trained model at a time and score the same text again.

  segments     1, 2, 3 passes over the blocks, or as many as the model has
  controller   the summary passed to the next pass: normal, shuffled over time, noise of the same mean and deviation, off
  paths        ssm, hopfield, attention: each alone, each pair, all, none; the other paths output zero
  shuffles     the input of one path with its positions permuted
  depths       the Hopfield memory's refinement 1, 2, … alone, or all with equal weights
  gates        all paths with equal weights
  slots        the Hopfield memory without its learned slots

Each applies to the whole model and, except the first two, to each layer alone. A part that the model lacks has no row.

A knock-out measures how much a jointly trained model depends on a part, not what the part can do: the other parts were never \
trained without it. A shuffled path sees later positions, so its row measures dependence on order only.

Files in the output folder:

  results.csv      one row per knock-out: nll in nats per token, difference to the baseline, its standard error over windows
  results.json     the same, with the checkpoint and text (SHA-256), the gates and the weights of the depths
  knockouts.svg    bar chart of the knock-outs in the whole model
  layers.svg       table of the knock-outs in single layers
  gates.svg        the mean gate of each layer, and of each position in the window
  depths.svg       the mean weight of each refinement

Ctrl-C finishes the current batch and writes the rows that are complete.";

const EXAMPLES: &str = "\
Examples:
  hh-runtime probe runs/char-0.8m-1
      on the held-out part of the built-in corpus, as in `eval`
  hh-runtime probe runs/shakespeare --data input.txt --tokens 100000 --out shakespeare-probe
  hh-runtime probe model.safetensors --data wiki.valid.tokens --split all --whole-only

Layers are numbered from 0, as in tensor names; segments and depths from 1. Shuffles and noise depend only on the seed and the \
position of the window in the text, so the same command gives the same results.";

/// Default of `--tokens`.
const TOKENS: u64 = 20_000;
/// Shortest interval between progress lines where the standard error is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Arguments of `probe`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or a run folder (its best.safetensors is used)
    checkpoint: PathBuf,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    part: PartArgs,
    /// Tokens to score, from the start of that split; all if it has fewer
    #[arg(long, value_name = "N", default_value_t = TOKENS, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// Window length in tokens [default: the training context]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: Option<u32>,
    /// Windows per batch
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Passes over the blocks, in the baseline and in the knock-outs [default: the model's]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Option<u8>,
    /// Seed of shuffles and noise
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Skip the knock-outs in single layers, which take most of the time
    #[arg(long)]
    whole_only: bool,
    /// Output folder, must be empty or absent [default: probe, in the folder of the checkpoint]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tokenizer, for a checkpoint without one: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

/// Scores the knock-outs and writes the results.
///
/// # Errors
/// An invalid checkpoint, text, option or device, an output folder that is not empty, or a file that cannot be written.
pub fn run(args: Args, backends: &impl Backends) -> Result<()> {
    let source = Source::open(&args.checkpoint)?;
    let folder = args.out.clone().unwrap_or_else(|| files::folder_of(source.path()).join("probe"));
    require_empty(&folder)?;
    let stop = listen()?;
    let provenance = Provenance {
        checkpoint: source.path().display().to_string(),
        checkpoint_sha256: source.sha256(),
        step: source.checkpoint()?.step(),
        data: args.text.data.iter().map(|path| SourceFile::of(path)).collect::<Result<_>>()?,
        part: args.part.name(&args.text),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    };
    // Created first, so that a folder that cannot be written fails before the scoring.
    let made = files::missing(&folder);
    files::make_folder(&folder)?;
    let found = backends.run(&args.machine, Job { args: &args, source: &source, stop: &stop });
    let mut out = io::stdout();
    let findings = match found {
        Ok(Some(findings)) => findings,
        none => {
            made.iter().for_each(|folder| drop(fs::remove_dir(folder)));
            none?;
            let _ = writeln!(out, "stopped before the baseline was scored; nothing was written");
            std::process::exit(STOPPED);
        }
    };
    let report = Report { provenance, findings };
    report.write(&folder)?;
    let printed = print(&mut out, &report, &folder);
    if !report.findings.complete {
        // A stopped probe exits with STOPPED even where the table could not be printed.
        std::process::exit(STOPPED);
    }
    printed
}

/// Rejects a folder that is not empty: results are never overwritten.
fn require_empty(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("{} is a file; give --out the name of a folder", folder.display());
    }
    if fs::read_dir(folder).is_ok_and(|mut content| content.next().is_some()) {
        bail!("{} is not empty; give another folder to --out", folder.display());
    }
    Ok(())
}

fn print(out: &mut impl Write, report: &Report, folder: &Path) -> Result<()> {
    let Report { provenance, findings } = report;
    let Findings { tokens, context, .. } = findings;
    writeln!(out, "{} on {}: {tokens} tokens, windows of {context}", provenance.checkpoint, provenance.part)?;
    writeln!(out, "{:<28}  {:>8}  {:>10}  {:>8}", "knocked out", "nll", "difference", "± error")?;
    for row in findings.rows.iter().filter(|row| row.layer.is_none()) {
        let error = row.standard_error.filter(|&error| error > 0.0).map_or(String::new(), |error| format!("{error:.4}"));
        writeln!(out, "{:<28}  {:>8.4}  {:>+10.4}  {error:>8}", row.name, row.nll, row.difference)?;
    }
    let stopped = if findings.complete { "" } else { "stopped; the complete rows are " };
    writeln!(out, "{stopped}in {}", folder.display())?;
    Ok(())
}

struct Job<'a> {
    args: &'a Args,
    source: &'a Source,
    stop: &'a AtomicBool,
}

impl BackendJob for Job<'_> {
    type Output = Option<Findings>;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Self::Output> {
        on(make()?, &self)
    }
}

fn on<B: Forward>(mut backend: B, job: &Job<'_>) -> Result<Option<Findings>> {
    let Job { args, source, stop } = *job;
    let mut loaded = source.load(&mut backend, args.tokenizer.as_deref())?;
    let context = loading::context(&loaded.model, args.context.map(|n| n as usize), loaded.context)?;
    let text = args.part.stream(&args.text, &*loaded.tokenizer)?;
    let text = text.part(0..text.len().min(args.tokens.saturating_add(1)));
    let options =
        Options { context, batch: args.batch.into(), segments: args.segments.map(usize::from), seed: args.seed, layers: !args.whole_only };
    let mut shown = Shown::new();
    let found = probe(backend, &mut loaded.model, &text, &options, &mut |progress| {
        shown.show(&progress);
        !stop.load(Ordering::Relaxed)
    });
    shown.bar.finish_and_clear();
    found
}

/// A bar on a terminal, plain lines elsewhere.
struct Shown {
    bar: ProgressBar,
    last_line: Instant,
}

impl Shown {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30.cyan/dim} {percent}% · {eta} left · {msg}").expect("a valid template");
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8)).with_style(style.progress_chars("━╸─"));
        Self { bar, last_line: Instant::now() }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        let Progress { knockout, done, of } = progress;
        let name = match knockout.layer {
            Some(layer) => format!("layer {layer}, {}", knockout.name),
            None => knockout.name.clone(),
        };
        self.bar.set_length(*of);
        self.bar.set_position(*done);
        if io::stderr().is_terminal() {
            self.bar.set_message(name);
        } else if self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            say(format_args!("{}% · {name}", 100 * done / of.max(&1)));
        }
    }
}
