//! `hh-runtime export`: a checkpoint for inference, without training-only parameters.

use super::text::TextArgs;
use crate::data::{Dataset, Windows};
use crate::evaluate::Evaluator;
use crate::export::export;
use crate::hugging_face::{self, Labels};
use crate::loading::Source;
use crate::stdout;
use crate::train::{BUILTIN, trained_on};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::checkpoint::{Dtype, Stored};
use hh_core::quant::Format;
use hh_cpu::{Cpu, Threads};
use std::io::Write;
use std::path::PathBuf;
use std::thread::available_parallelism;

const EXAMPLES: &str = "\
Examples:
  hh-runtime export runs/char-4.5m-1 model.safetensors
      the same weights without the rectified-flow head
  hh-runtime export runs/char-4.5m-1 model-bf16.safetensors --dtype bf16
      half the size; every command reads it as it reads any checkpoint
  hh-runtime export runs/char-4.5m-1 model-q8.safetensors --quant q8 --data input.txt
      about a quarter of the size; reports the loss in quality on the held-out end of input.txt
  hh-runtime export runs/char-4.5m-1 --hf my-model --license mit --language en
      a folder for transformers and, of an embedding model, sentence-transformers; every command reads it, too

f16 has 11 significant bits and a largest value of 65504; bf16 has 8 significant bits and the range of f32. q8 and q4 quantise \
matrices in blocks of 32 integers with one scale, 8.5 and 4.5 bits per weight (q4 keeps the embedding and the gates in q8); \
other tensors stay f32, and inference computes with the blocks directly. The rounding error is printed and, given a text, the \
change of its nll in nats per token.";

/// Tokens that the change of the nll is measured on.
const TOKENS: u64 = 20_000;
/// Windows per batch.
const BATCH: usize = 8;

/// Arguments of `export`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub
    checkpoint: PathBuf,
    /// Output file
    #[arg(required_unless_present = "hf")]
    out: Option<PathBuf>,
    /// Write a folder for the Hugging Face libraries instead, with the model in PyTorch; it must be absent or empty
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "quant"], help_heading = "Hugging Face")]
    hf: Option<PathBuf>,
    #[command(flatten)]
    labels: Labels,
    /// Data type of the stored tensors [default: f32; with --hf, that of the checkpoint]
    #[arg(long, value_enum, conflicts_with = "quant")]
    dtype: Option<Type>,
    /// Quantise the matrices in blocks; other tensors are f32
    #[arg(long, value_enum, value_name = "FORMAT")]
    quant: Option<QuantFormat>,
    /// For an embedding model with a lower-case BPE: treat all white space, equivalent spellings of letters and invisible characters
    /// alike (new models of bpe-train:N:lower do)
    #[arg(long)]
    normalize: bool,
    #[command(flatten)]
    text: TextArgs,
    /// Held-out fraction of the text, at its end, to measure the nll on
    #[arg(long, value_name = "PART", default_value_t = 0.1, allow_negative_numbers = true, help_heading = "Text")]
    holdout: f64,
}

/// Data types.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Type {
    /// 4 bytes, lossless
    F32,
    /// 2 bytes, IEEE half precision
    F16,
    /// 2 bytes, bfloat16
    Bf16,
}

/// Block-quantised formats.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum QuantFormat {
    /// 8-bit integers, one scale per 32
    Q8,
    /// 4-bit integers, one scale per 32
    Q4,
}

impl Args {
    fn dtype(&self) -> Option<Dtype> {
        self.dtype.map(|dtype| match dtype {
            Type::F32 => Dtype::F32,
            Type::F16 => Dtype::F16,
            Type::Bf16 => Dtype::Bf16,
        })
    }

    fn stored(&self) -> (Stored, &'static str) {
        let format = match self.quant {
            None => {
                let dtype = self.dtype().unwrap_or(Dtype::F32);
                return (dtype.into(), dtype.name());
            }
            Some(QuantFormat::Q8) => Format::Q8,
            Some(QuantFormat::Q4) => Format::Q4,
        };
        (Stored::Quantised(format), format.name())
    }
}

/// Exports a checkpoint and prints sizes, rounding error and change of the nll.
///
/// # Errors
/// An invalid checkpoint or text, a value too large for the data type, or a file that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let source = Source::open(&args.checkpoint)?;
    let (stored, name) = args.stored();
    let exact = stored == Dtype::F32.into();
    let text = !args.text.is_builtin() || (!exact && trained_on(source.checkpoint()?.metadata(), BUILTIN));
    // Before anything is written, so that an invalid text fails early.
    let before = text.then(|| held_out_nll(&args, &source)).transpose()?;
    let (path, done, name, notes) = match (&args.hf, &args.out) {
        (Some(folder), _) => {
            let made = hugging_face::export(&source, folder, args.dtype(), args.normalize, &args.labels)?;
            (folder, made.exported, made.dtype.name(), notes(&args.labels, made.widened))
        }
        (None, Some(file)) => (file, export(&source, file, stored, args.normalize)?, name, Vec::new()),
        (None, None) => bail!("give an output file, or a folder with --hf"),
    };
    let mut out = stdout::lock();
    let [from, to] = done.bytes.map(|bytes| bytes as f64 / 1e6);
    writeln!(out, "{} {from:.2} MB -> {} {to:.2} MB, {name}", source.path().display(), path.display())?;
    notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
    match done.stripped {
        0 => writeln!(out, "{} parameters", done.written)?,
        n => writeln!(out, "{} parameters; {n} training-only parameters were left out", done.written)?,
    }
    match done.largest {
        (0.0, _) => return Ok(writeln!(out, "lossless")?),
        (error, name) => writeln!(out, "largest rounding error {error:.2e}, in {name}; relative RMS error {:.2e}", done.relative)?,
    }
    let Some((before, tokens)) = before else {
        return Ok(writeln!(out, "change of nll: not measured; give the text of training, as in --data input.txt")?);
    };
    let (after, _) = held_out_nll(&args, &Source::open(path)?)?;
    writeln!(
        out,
        "nll {before:.4} -> {after:.4} nats per token, {:+.5}, over {tokens} held-out tokens of {}",
        after - before,
        args.text.name()
    )?;
    Ok(())
}

/// What a user should know about a folder.
fn notes(labels: &Labels, widened: bool) -> Vec<&'static str> {
    let widened = widened.then_some("the weights were block-quantised, which PyTorch does not read: they are widened to the same values");
    let unnamed = labels.license.is_none().then_some("the model card names no licence; give one with --license");
    widened.into_iter().chain(unnamed).collect()
}

/// Mean nll over the first [`TOKENS`] tokens of the held-out end, and their number.
fn held_out_nll(args: &Args, source: &Source) -> Result<(f64, u64)> {
    let mut cpu = Cpu::<f32>::new(Threads::new(available_parallelism().map_or(1, |n| n.get())));
    let loaded = source.load(&mut cpu, None)?;
    let held = Dataset::split(&args.text.stream(&*loaded.tokenizer)?, args.holdout)?.validation;
    let held = held.part(0..held.len().min(TOKENS + 1));
    if held.len() < 2 {
        bail!("{} has {} held-out tokens; scoring needs at least two", args.text.name(), held.len());
    }
    let time = loaded.context.min(held.len() as usize - 1);
    let windows = Windows::new(&held, time);
    let mut evaluator = Evaluator::new(cpu, &loaded.model, BATCH.min(windows.count() as usize), time)?;
    let score = evaluator.score(windows, &*loaded.tokenizer, loaded.model.config.segments, |_, _| ())?;
    let figures = score.figures();
    Ok((figures.nll, figures.tokens))
}
