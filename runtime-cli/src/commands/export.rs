//! `hh-runtime export`: a checkpoint for use, without what only training needs.

use super::text::TextArgs;
use crate::data::{Dataset, Windows};
use crate::evaluate::Evaluator;
use crate::export::export;
use crate::loading::Source;
use crate::train::{BUILTIN, trained_on};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::checkpoint::{Dtype, Stored};
use hh_core::quant::Format;
use hh_cpu::{Cpu, Threads};
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::available_parallelism;

const EXAMPLES: &str = "\
Examples:
  hh-runtime export runs/char-4.5m-1 model.safetensors
      the same weights without the rectified-flow head
  hh-runtime export runs/char-4.5m-1 model-bf16.safetensors --dtype bf16
      half the size; every command reads it like any other checkpoint
  hh-runtime export runs/char-4.5m-1 model-q8.safetensors --quant q8 --data input.txt
      about a quarter of the size, computed with as it is; says what that costs on the held-out end of input.txt

f16 keeps 11 significant bits of numbers up to 65504, bf16 keeps 8 of any. q8 and q4 keep the matrices in blocks of 32 small \
integers with a scale, 8.5 and 4.5 bits a weight (q4 leaves the embedding and the gates in q8), and all else in f32. The \
rounding error is printed, and where there is a text, its cost in nats per token.";

/// Tokens that the cost is measured on.
const TOKENS: u64 = 20_000;
/// Sequences that are scored side by side.
const BATCH: usize = 8;

/// Arguments of `export`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or the folder of a run, which stands for its best.safetensors
    checkpoint: PathBuf,
    /// The file to write
    out: PathBuf,
    /// How numbers are stored [default: f32]
    #[arg(long, value_enum, conflicts_with = "quant")]
    dtype: Option<Type>,
    /// Stores matrices in blocks of small integers, and all else in f32
    #[arg(long, value_enum, value_name = "FORMAT")]
    quant: Option<QuantView>,
    #[command(flatten)]
    text: TextArgs,
    /// The end of the text that the cost is measured on
    #[arg(long, value_name = "PART", default_value_t = 0.1, allow_negative_numbers = true, help_heading = "Text")]
    holdout: f64,
}

/// A number type by its name.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Type {
    /// 4 bytes, exact
    F32,
    /// 2 bytes, IEEE half precision
    F16,
    /// 2 bytes, bfloat16
    Bf16,
}

/// Blocks of integers by their name.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum QuantView {
    /// 8 bits, and a scale for 32 of them
    Q8,
    /// 4 bits, and a scale for 32 of them
    Q4,
}

impl Args {
    fn stored(&self) -> (Stored, &'static str) {
        let format = match self.quant {
            None => {
                let dtype = match self.dtype {
                    None | Some(Type::F32) => Dtype::F32,
                    Some(Type::F16) => Dtype::F16,
                    Some(Type::Bf16) => Dtype::Bf16,
                };
                return (dtype.into(), dtype.name());
            }
            Some(QuantView::Q8) => Format::Q8,
            Some(QuantView::Q4) => Format::Q4,
        };
        (Stored::Quantised(format), format.name())
    }
}

/// Exports.
pub fn run(args: Args) -> Result<()> {
    let source = Source::open(&args.checkpoint)?;
    let (stored, name) = args.stored();
    let exact = stored == Dtype::F32.into();
    let text = !args.text.is_builtin() || (!exact && trained_on(source.checkpoint()?.metadata(), BUILTIN));
    // Before anything is written: so what is wrong with the text is said in time.
    let before = text.then(|| cost(&args, &source)).transpose()?;
    let done = export(&source, &args.out, stored)?;
    let mut out = io::stdout().lock();
    let [from, to] = done.bytes.map(|bytes| bytes as f64 / 1e6);
    writeln!(out, "{} {from:.2} MB -> {} {to:.2} MB, {name}", source.path().display(), args.out.display())?;
    match done.stripped {
        0 => writeln!(out, "{} parameters", done.written)?,
        n => writeln!(out, "{} parameters; {n} that only training needs were left out", done.written)?,
    }
    match done.largest {
        (0.0, _) => return Ok(writeln!(out, "every number is exact")?),
        (error, name) => writeln!(out, "largest rounding error {error:.2e}, in {name}; all together {:.2e} of the weights", done.relative)?,
    }
    let Some((before, tokens)) = before else {
        return Ok(writeln!(out, "what it costs: give the text that it was trained on, as in --data input.txt")?);
    };
    let (after, _) = cost(&args, &Source::open(&args.out)?)?;
    writeln!(
        out,
        "nll {before:.4} -> {after:.4} nats per token, {:+.5}, over {tokens} held-out tokens of {}",
        after - before,
        args.text.name()
    )?;
    Ok(())
}

/// Mean nll over the first [`TOKENS`] tokens of the held-out end, and how many they were.
fn cost(args: &Args, source: &Source) -> Result<(f64, u64)> {
    let mut cpu = Cpu::<f32>::new(Threads::new(available_parallelism().map_or(1, |n| n.get())));
    let loaded = source.load(&mut cpu, None)?;
    let held = Dataset::split(&args.text.stream(&*loaded.tokenizer)?, args.holdout)?.validation;
    let held = held.part(0..held.len().min(TOKENS + 1));
    if held.len() < 2 {
        bail!("{} has {} held-out tokens; scoring needs two at least", args.text.name(), held.len());
    }
    let time = loaded.context.min(held.len() as usize - 1);
    let windows = Windows::new(&held, time);
    let mut evaluator = Evaluator::new(cpu, &loaded.model, BATCH.min(windows.count() as usize), time)?;
    let score = evaluator.score(windows, &*loaded.tokenizer, loaded.model.config.segments, |_, _| ())?;
    let figures = score.figures();
    Ok((figures.nll, figures.tokens))
}
