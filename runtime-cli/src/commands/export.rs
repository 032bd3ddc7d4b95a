//! `hh-runtime export`: a checkpoint for use, without what only training needs.

use crate::export::export;
use crate::loading::Source;
use anyhow::Result;
use clap::ValueEnum;
use hh_core::checkpoint::Dtype;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime export runs/char-4.5m-1 model.safetensors
      the same weights without the rectified-flow head
  hh-runtime export runs/char-4.5m-1 model-bf16.safetensors --dtype bf16
      half the size; every command reads it like any other checkpoint

f16 keeps 11 significant bits of numbers up to 65504, bf16 keeps 8 of any; the largest rounding error is printed. Whether it \
matters is for `hh-runtime eval` to say.";

/// Arguments of `export`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or the folder of a run, which stands for its best.safetensors
    checkpoint: PathBuf,
    /// The file to write
    out: PathBuf,
    /// How numbers are stored
    #[arg(long, value_enum, default_value_t)]
    dtype: Type,
}

/// A number type by its name.
#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum Type {
    /// 4 bytes, exact
    #[default]
    F32,
    /// 2 bytes, IEEE half precision
    F16,
    /// 2 bytes, bfloat16
    Bf16,
}

/// Exports.
pub fn run(args: Args) -> Result<()> {
    let source = Source::open(&args.checkpoint)?;
    let dtype = match args.dtype {
        Type::F32 => Dtype::F32,
        Type::F16 => Dtype::F16,
        Type::Bf16 => Dtype::Bf16,
    };
    let done = export(&source, &args.out, dtype)?;
    let mut out = io::stdout().lock();
    let [before, after] = done.bytes.map(|bytes| bytes as f64 / 1e6);
    writeln!(out, "{} {before:.2} MB -> {} {after:.2} MB, {}", source.path().display(), args.out.display(), dtype.name())?;
    match done.stripped {
        0 => writeln!(out, "{} parameters", done.written)?,
        n => writeln!(out, "{} parameters; {n} that only training needs were left out", done.written)?,
    }
    match done.largest {
        (0.0, _) => writeln!(out, "every number is exact")?,
        (error, name) => writeln!(out, "largest rounding error {error:.2e}, in {name}; all together {:.2e} of the weights", done.relative)?,
    }
    Ok(())
}
