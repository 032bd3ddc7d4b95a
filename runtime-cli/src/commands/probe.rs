//! `hh-runtime probe`: measures what a trained model depends on, by knock-outs.

use super::text::{PartArgs, TextArgs};
use crate::files;
use crate::interrupt::{Ending, Interrupt};
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::probe::{Findings, Options, Progress, Provenance, Report, probe};
use crate::progress::Bar;
use crate::run_folder::RunFolder;
use crate::stdout;
use crate::train::{SourceFile, command_line};
use anyhow::Result;
use hh_core::backend::{Backward, Forward};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Arguments of `probe`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub
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
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let source = Source::open(&args.checkpoint)?;
    // Created first, so that a folder that cannot be written fails before the scoring.
    let folder = RunFolder::for_results(&args.out.clone().unwrap_or_else(|| files::folder_of(source.path()).join("probe")))?;
    let prepare = || Ok((interrupt.listen()?, provenance(&args, &source)?));
    let (stop, provenance) = prepare().inspect_err(|_: &anyhow::Error| folder.abandon())?;
    let mut out = stdout::lock();
    let found = backends.run(&args.machine, Job { args: &args, source: &source, stop: &stop });
    let Some(findings) = found.inspect_err(|_| folder.abandon())? else {
        folder.abandon();
        let _ = writeln!(out, "stopped before the baseline was scored; nothing was written");
        return Ok(Ending::Stopped);
    };
    let report = Report { provenance, findings };
    report.write(folder.path())?;
    let printed = print(&mut out, &report, folder.path());
    if !report.findings.complete {
        // A stopped probe is reported as such even if the table could not be printed.
        return Ok(Ending::Stopped);
    }
    printed?;
    Ok(Ending::Done)
}

fn provenance(args: &Args, source: &Source) -> Result<Provenance> {
    Ok(Provenance {
        checkpoint: source.path().display().to_string(),
        checkpoint_sha256: source.sha256(),
        step: source.checkpoint()?.step(),
        data: args.text.data.iter().map(|path| SourceFile::of(path)).collect::<Result<_>>()?,
        part: args.part.name(&args.text),
        command: command_line(),
    })
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
    let context = loaded.session_context(args.context.map(|n| n as usize))?;
    let text = args.part.stream(&args.text, &*loaded.tokenizer)?;
    let text = text.part(0..text.len().min(args.tokens.saturating_add(1)));
    let options =
        Options { context, batch: args.batch.into(), segments: args.segments.map(usize::from), seed: args.seed, layers: !args.whole_only };
    let mut bar = Bar::new("{bar:30.cyan/dim} {percent}% · {eta} left · {msg}", 0, 0);
    let found = probe(backend, &mut loaded.model, &text, &options, &mut |progress| {
        show(&mut bar, &progress);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish();
    found
}

fn show(bar: &mut Bar, progress: &Progress<'_>) {
    let Progress { knockout, done, of } = progress;
    let name = match knockout.layer {
        Some(layer) => format!("layer {layer}, {}", knockout.name),
        None => knockout.name.clone(),
    };
    bar.set_length(*of);
    bar.set(*done);
    bar.report(name, |_, name| format!("{}% · {name}", 100 * done / of.max(&1)));
}
