//! `hh-runtime info`: parameters, state size and FLOPs of a checkpoint or preset.

use crate::costs::{Flops, Parameters, StateBytes};
use crate::files;
use crate::hub;
use crate::loading::Source;
use crate::stdout;
use anyhow::{Result, bail};
use hh_core::checkpoint::{self, Metadata};
use hh_core::config::Config;
use hh_core::model::shapes;
use hh_core::presets::{PRESETS, preset};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime info char-4.5m
  hh-runtime info runs/char-0.8m-1 --tensors
  hh-runtime info bpe-97m --context 4096 --segments 1 --json

FLOPs are those of matrix products, two per multiply-add; element-wise operations are not counted. With P weights in the \
blocks' products, S segments, vocabulary size V, embedding width E and context T, decoding a token takes
  S (2 P + memories) + (S - 1) 2 P_controller + 2 E V
where a layer's memories take 4 w T for attention of width w and 4 w K (T + slots) for a Hopfield path with K refinements. \
Training takes the same forward at the mean length T / 2, and twice that backward through the last segment only.";

/// Arguments of `info`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder, a configuration (.json), or a preset
    #[arg(value_name = "CHECKPOINT|PRESET")]
    what: PathBuf,
    /// Context length for state size and FLOPs [default: the training context, or 1024]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=hh::MAX_CONTEXT as i64))]
    context: Option<u32>,
    /// Passes over the blocks [default: the configuration's]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Option<u8>,
    /// List every tensor with its shape
    #[arg(long)]
    tensors: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    config: Config,
    parameters: Parameters,
    total: usize,
    context: usize,
    segments: usize,
    state_bytes: StateBytes,
    flops_per_token: Flops,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dtype: Option<&'static str>,
}

/// The model to describe.
struct Subject {
    what: String,
    file_bytes: Option<u64>,
    config: Config,
    metadata: Metadata,
    tensors: Vec<Tensor>,
}

/// Prints the parameters, state size and FLOPs.
///
/// # Errors
/// A name that is neither a file nor a preset, or an invalid file.
pub fn run(args: Args) -> Result<()> {
    let Subject { what, file_bytes, config, metadata, tensors } = subject(&args)?;
    let context = args.context.map_or_else(|| hh::trained_context(&metadata), |n| n as usize);
    let segments = args.segments.map_or(config.segments, usize::from);
    let parameters = Parameters::of(&config);
    let report = Report {
        what,
        file_bytes,
        parameters,
        total: parameters.total(),
        context,
        segments,
        state_bytes: StateBytes::of(&config, context, segments),
        flops_per_token: Flops::of(&config, context, segments),
        config,
        metadata,
        tensors: if args.tensors { tensors } else { Vec::new() },
    };
    let mut out = stdout::lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    Ok(())
}

fn subject(args: &Args) -> Result<Subject> {
    let (path, name) = (&args.what, &*args.what.to_string_lossy());
    if path.extension().is_some_and(|e| e == "json") {
        return Ok(of_config(name, Config::from_json(&files::read_to_string(path)?)?));
    }
    if !path.exists() && !hub::is_address(path) {
        return match preset(name) {
            Some(config) => Ok(of_config(name, config)),
            None => {
                let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
                bail!("{} is neither a file nor a preset; the presets are {}", name, names.join(", "))
            }
        };
    }
    let source = Source::open(path)?;
    let file = source.checkpoint()?;
    let mut config = file.config().clone();
    if !file.names().any(|name| name.starts_with("flow.")) {
        config.flow_hidden = 0;
    }
    let all = shapes(&config);
    file.expect(all.iter().map(|(name, shape)| (name.as_str(), *shape))).map_err(|e| anyhow::anyhow!("{}: {e}", source.cannot_use()))?;
    let tensors = all.iter().map(|(name, shape)| {
        let dtype = match file.blocks(name, *shape)? {
            Some(blocks) => blocks.format().name(),
            None => file.tensor(name)?.dtype.name(),
        };
        Ok(Tensor { name: name.clone(), shape: shape.dims().to_vec(), dtype: Some(dtype) })
    });
    let tensors = tensors.collect::<Result<_>>()?;
    let mut metadata = file.metadata().clone();
    metadata.remove(checkpoint::CONFIG);
    if let Some(json) = metadata.get_mut(checkpoint::TOKENIZER) {
        // Only the kind: the whole vocabulary is too long to print.
        *json = hh_core::tokenizer::kind(json).unwrap_or_else(|_| "unreadable".into());
    }
    Ok(Subject { what: source.path().display().to_string(), file_bytes: Some(source.bytes().len() as u64), config, metadata, tensors })
}

fn of_config(what: &str, config: Config) -> Subject {
    let tensor = |(name, shape): (String, hh_core::shape::Shape)| Tensor { name, shape: shape.dims().to_vec(), dtype: None };
    let tensors = shapes(&config).into_iter().map(tensor).collect();
    Subject { what: what.to_owned(), file_bytes: None, config, metadata: Metadata::new(), tensors }
}

impl Report {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match self.file_bytes {
            Some(bytes) => writeln!(out, "{}, {:.1} MB", self.what, bytes as f64 / 1e6)?,
            None => writeln!(out, "{}", self.what)?,
        }
        let c = &self.config;
        writeln!(
            out,
            "\n{} layers of width {}, vocabulary {}, {} segments, context {}\n",
            c.layers, c.width, c.vocab_size, self.segments, self.context
        )?;
        writeln!(out, "parameters")?;
        for (part, n) in self.parameters.parts().into_iter().filter(|&(_, n)| n > 0) {
            writeln!(out, "  {part:<12}{:>14}{:>8.1} %", grouped(n), 100.0 * n as f64 / self.total as f64)?;
        }
        writeln!(out, "  {:<12}{:>14}", "total", grouped(self.total))?;
        let (s, f) = (&self.state_bytes, &self.flops_per_token);
        writeln!(out, "\nstate per sequence (bytes)")?;
        for (name, n) in [("per position", s.per_position), ("constant", s.constant), ("total", s.total)] {
            writeln!(out, "  {name:<12}{:>14}", grouped(n))?;
        }
        writeln!(out, "\nFLOPs per token (millions)")?;
        for (name, n) in [("decoding", f.decoding), ("training", f.training)] {
            writeln!(out, "  {name:<12}{:>14.2}", n / 1e6)?;
        }
        if !self.metadata.is_empty() {
            writeln!(out, "\nmetadata")?;
            for (key, value) in &self.metadata {
                writeln!(out, "  {key:<12}  {value}")?;
            }
        }
        if !self.tensors.is_empty() {
            writeln!(out, "\ntensors")?;
            for t in &self.tensors {
                writeln!(out, "  {:<40}  {:<5} {:?}", t.name, t.dtype.unwrap_or(""), t.shape)?;
            }
        }
        Ok(())
    }
}

/// `1,234,567`
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
