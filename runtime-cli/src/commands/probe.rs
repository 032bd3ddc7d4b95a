//! `hh-runtime probe`: what a trained model depends on.

use super::text::{PartArgs, TextArgs};
use crate::files;
use crate::interrupt::{Ending, Interrupt};
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::probe::{Findings, Options, Progress, Provenance, Report, probe};
use crate::progress::Bar;
use crate::run_folder::RunFolder;
use crate::train::SourceFile;
use anyhow::Result;
use hh_core::backend::{Backward, Forward};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What `probe --help` begins with.
pub const ABOUT: &str = "\
Knock out one part of a trained model after the other, and score the same text again.

  segments     1, 2, 3 passes over the blocks, or as many as the model has
  controller   what one pass tells the next: normal, shuffled over time, noise of the same mean and deviation, off
  paths        ssm, hopfield, attention: each one alone, each pair, all, none; the other paths' output is zero
  shuffles     what one path reads, in another order of the positions
  depths       the Hopfield memory's refinement 1, 2, … alone, or all with one weight
  gates        all paths with one weight
  slots        the Hopfield memory without its learned items

in the whole model, and but for the first two, in each layer alone. What a model lacks has no row.

A knock-out tells how much a jointly trained model leans on a part. It does not tell what the part can do: the others never \
learned to do without it. A shuffled path sees what comes later, so its row measures dependence on order and nothing else.

It writes into one folder:

  results.csv      a row for each knock-out: nll in nats per token, the difference to the baseline, and its standard error over windows
  results.json     the same, with the checkpoint, the text (SHA-256), the gates and the weights of the depths
  knockouts.svg    bars of the whole model's knock-outs
  layers.svg       a table of those in one layer
  gates.svg        the mean gate of each layer, and of each position in the window
  depths.svg       the mean weight of each refinement

Ctrl-C finishes the batch at hand and writes the rows that are there.";

const EXAMPLES: &str = "\
Examples:
  hh-runtime probe runs/char-0.8m-1
      on the held-out part of the built-in corpus, as `eval` has it
  hh-runtime probe runs/shakespeare --data input.txt --tokens 100000 --out shakespeare-probe
  hh-runtime probe model.safetensors --data wiki.valid.tokens --split all --whole-only

Layers count from 0, as in the names of tensors; segments and depths from 1. The order of a shuffle and the noise are a function of \
the seed and of the window's place in the text: the same command gives the same numbers.";

/// Tokens to score where nobody says how many.
const TOKENS: u64 = 20_000;

/// Arguments of `probe`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or the folder of a run, which stands for its best.safetensors
    checkpoint: PathBuf,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    part: PartArgs,
    /// Tokens to score, from the beginning of that part; all, if there are fewer
    #[arg(long, value_name = "N", default_value_t = TOKENS, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// Tokens of a window [default: those of training]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: Option<u32>,
    /// Windows that are scored side by side
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Passes over the blocks of the baseline and of all that is compared with it [default: those of training]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Option<u8>,
    /// Of shuffles and noise
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Leave out the knock-outs in one layer alone, which are most of the work
    #[arg(long)]
    whole_only: bool,
    /// The folder to write into, which must be empty or absent [default: probe, beside the checkpoint]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say what ids stand for where the checkpoint does not: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

/// Probes.
///
/// # Errors
/// One sentence that says what was wrong and what to do.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let source = Source::open(&args.checkpoint)?;
    // Made before the work: a place that cannot be written to is known then.
    let folder = RunFolder::for_results(&args.out.clone().unwrap_or_else(|| files::folder_of(source.path()).join("probe")))?;
    let prepare = || Ok((interrupt.listen()?, provenance(&args, &source)?));
    let (stop, provenance) = prepare().inspect_err(|_: &anyhow::Error| folder.abandon())?;
    let mut out = io::stdout();
    let found = backends.run(&args.machine, Job { args: &args, source: &source, stop: &stop });
    let Some(findings) = found.inspect_err(|_| folder.abandon())? else {
        folder.abandon();
        let _ = writeln!(out, "stopped before the baseline was scored; nothing was written");
        return Ok(Ending::Stopped);
    };
    let report = Report { provenance, findings };
    report.write(folder.path())?;
    let told = tell(&mut out, &report, folder.path());
    if !report.findings.complete {
        // Whether the table can be written or not, the probe was stopped.
        return Ok(Ending::Stopped);
    }
    told?;
    Ok(Ending::Done)
}

fn provenance(args: &Args, source: &Source) -> Result<Provenance> {
    Ok(Provenance {
        checkpoint: source.path().display().to_string(),
        checkpoint_sha256: source.sha256(),
        step: source.checkpoint()?.step(),
        data: args.text.data.iter().map(|path| SourceFile::of(path)).collect::<Result<_>>()?,
        part: args.part.name(&args.text),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    })
}

fn tell(out: &mut impl Write, report: &Report, folder: &Path) -> Result<()> {
    let Report { provenance, findings } = report;
    let Findings { tokens, context, .. } = findings;
    writeln!(out, "{} on {}: {tokens} tokens, windows of {context}", provenance.checkpoint, provenance.part)?;
    writeln!(out, "{:<28}  {:>8}  {:>10}  {:>8}", "knocked out", "nll", "difference", "± error")?;
    for row in findings.rows.iter().filter(|row| row.layer.is_none()) {
        let error = row.standard_error.filter(|&error| error > 0.0).map_or(String::new(), |error| format!("{error:.4}"));
        writeln!(out, "{:<28}  {:>8.4}  {:>+10.4}  {error:>8}", row.name, row.nll, row.difference)?;
    }
    let stopped = if findings.complete { "" } else { "stopped; the rows until then are " };
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
