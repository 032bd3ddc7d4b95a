//! `hh-runtime embed`: embeddings of every row of a table.

use super::embedding::{self, PoolingName};
use super::tables::TableArgs;
use crate::bulk::{self, Chunks, Empty, Format, Identity, Job, Numbers, Target, Unfinished, Unfit, Watch};
use crate::interrupt::{Ending, Interrupt};
use crate::progress::Bar;
use crate::stderr::say;
use crate::stdout;
use crate::table::Table;
use anyhow::{Result, bail};
use hh::{Blank, EmbedOptions, Embedder, Error, Pooling, Prompt};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  hh-runtime embed model.safetensors --input reviews.parquet --text-column body --output reviews-vectors.parquet
      all columns of the file, and the column `embedding`
  hh-runtime embed --input articles.jsonl.gz --output index.parquet --chunk-tokens 200 --chunk-overlap 40 --kind document
      a row for each chunk, with the columns chunk_row, chunk_item, chunk_start and chunk_end
  hh-runtime embed --input part-*.parquet --output vectors.npy --output-dtype f16 --empty zero
  zcat sentences.txt.gz | hh-runtime embed --input - --format lines --output - | head

Input formats are .txt and .md (one row per line), .csv and .tsv, .jsonl, .json (an array of objects) and .parquet, all of them also \
compressed as .gz or .zst. Several files of the same columns are one table; a folder stands for the tables in it, and folders \
named key=value add a column. CSV columns are numbers if the text of every cell can be restored, and text otherwise. A file that can \
be read in several ways is refused, with the options that decide. The standard input and other streams are first copied to the \
temporary folder (TMPDIR).

A column of lists of texts gives a row for each item. chunk_start and chunk_end are bytes of the UTF-8 text (or item). A Parquet \
output has embeddings as FixedSizeList; .npy has [rows, dimensions] and no other columns. Of int8 a number is round(127 x); of binary \
a byte is eight signs, the first the highest bit. Differences between batch sizes are roundings of f32, below 1e-5.

Memory use does not grow with the file. Ctrl-C saves, and the same command resumes from the folder OUTPUT.unfinished, which is \
deleted at the end. The output is renamed into place when it is complete.";

/// Arguments of `embed`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub [default: the built-in English model, if built with the
    /// feature `english`]
    #[arg(value_name = "MODEL")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Column of texts, or of lists of texts [default: text, or the only text column]
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// Output file: .parquet, .jsonl or .npy, also with .gz or .zst; - is the standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Format of the output [default: by its extension; jsonl for the standard output]
    #[arg(long, value_enum, value_name = "FORMAT")]
    output_format: Option<Format>,
    /// Type of the numbers of embeddings
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    output_dtype: Numbers,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
    /// Name of the embedding column
    #[arg(long, value_name = "NAME", default_value = "embedding")]
    column: String,
    /// Use of the texts, which selects the prompt of a model that was trained with prompts
    #[arg(long, value_enum, default_value = "plain")]
    kind: KindName,
    /// Keep only the first N dimensions [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    dim: Option<u32>,
    /// Pooling over positions [default: the model's]
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    /// Truncate each text to N tokens [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Divide texts into chunks of at most N tokens, which end at words
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    chunk_tokens: Option<u32>,
    /// Repeat at most N tokens of each chunk in the next
    #[arg(long, value_name = "N", requires = "chunk_tokens", default_value_t = 0)]
    chunk_overlap: u32,
    /// Embedding of a row whose text is null or blank [default: null; for .npy, which has no null, refuse]
    #[arg(long, value_enum)]
    empty: Option<Empty>,
    /// Texts per batch
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// CPU threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Discard the progress of an earlier run and start again
    #[arg(long)]
    restart: bool,
}

/// [`Prompt`] by its name.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum KindName {
    /// Symmetric comparison
    Plain,
    /// Search queries
    Query,
    /// Documents to be retrieved
    Document,
}

impl From<KindName> for Prompt {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Plain => Self::Plain,
            KindName::Query => Self::Query,
            KindName::Document => Self::Document,
        }
    }
}

/// Embeds the rows of a table.
///
/// # Errors
/// An invalid model, input or option, a text that cannot be embedded, or an output that cannot be written.
pub fn run(args: Args, interrupt: Interrupt) -> Result<Ending> {
    let began = Instant::now();
    if let Some(input) = args.table.input.iter().find(|input| same(input, &args.output)) {
        bail!("{} is the input: write to another file", input.display());
    }
    let target = Target::of(&args.output, args.output_format, args.force)?;
    let empty = match (args.empty, target.format()) {
        (Some(Empty::Null), Format::Npy) => {
            bail!("--empty null needs .parquet or .jsonl, because .npy has no null; use zero or refuse")
        }
        (None, Format::Npy) => Empty::Refuse,
        (None, _) => Empty::Null,
        (Some(empty), _) => empty,
    };
    let chunks = args.chunk_tokens.map(|tokens| Chunks::new(tokens as usize, args.chunk_overlap as usize)).transpose()?;
    let (embedder, model) = embedding::model(args.checkpoint.as_deref())?;
    let embedder = match args.threads {
        Some(threads) => embedder.with_threads(threads.into()),
        None => embedder,
    };
    let options = EmbedOptions {
        prompt: args.kind.into(),
        truncate_dim: args.dim.map(|dim| dim as usize),
        pooling: args.pooling.map(Pooling::from),
        max_tokens: args.max_tokens.map(|tokens| tokens as usize),
        blank: Blank::Zero,
        ..EmbedOptions::default()
    };
    let dim = options.truncate_dim.unwrap_or(embedder.dim());
    if dim > embedder.dim() {
        bail!("--dim is {dim}, but the model's embeddings have {} dimensions: give 1 to {0}", embedder.dim());
    }
    let mut input = args.table.open()?;
    let text = args.table.text_column(&input, args.text_column.as_deref())?;
    input.read_as_text(text);
    let cut = |text: &str| chunks.expect("called for chunks").split(embedder.tokenizer(), text);
    let job = Job {
        input: &input,
        text,
        split: chunks.is_some().then_some(&cut),
        output: &target,
        column: &args.column,
        dim,
        numbers: args.output_dtype,
        empty,
        rows: args.batch as usize,
    };
    bulk::check(&job)?;
    let identity = identity(&args, &input, text, model, dim, empty)?;
    // Of a stream, nothing could be resumed.
    let scratch = target.is_stream().then(tempfile::tempdir).transpose()?;
    let working = scratch.as_ref().map_or_else(|| args.output.clone(), |folder| folder.path().join("output"));
    let mut unfinished = Unfinished::open(&working, &identity, dim, args.restart)?;
    if unfinished.rows() > 0 {
        say(format_args!("resuming after row {} of {}", unfinished.rows(), input.rows()));
    }
    let mut progress = Progress::new(unfinished.rows(), input.rows(), interrupt.listen()?);
    let done = match bulk::embed(&job, &mut unfinished, &mut |texts| embed(&embedder, texts, &options), &mut progress) {
        Ok(done) => done && bulk::assemble(&job, &unfinished, &mut progress)?,
        Err(e) => {
            if unfinished.rows() == 0 {
                unfinished.remove()?;
            }
            return Err(e);
        }
    };
    progress.bar.finish();
    let (rows, count) = (unfinished.rows(), unfinished.count());
    if !done {
        let how = if target.is_stream() { "" } else { "; run the same command again to resume" };
        report(&target, format_args!("stopped after row {rows} of {}{how}", input.rows()));
        return Ok(Ending::Stopped);
    }
    let several = if job.several() { format!(", {count} chunks") } else { String::new() };
    unfinished.remove()?;
    let seconds = began.elapsed().as_secs_f64();
    report(&target, format_args!("{}: {rows} rows{several}, {dim} dimensions, {seconds:.1} s", args.output.display()));
    Ok(Ending::Done)
}

/// Writes a line to the standard output, or to the standard error if the output is a stream.
fn report(target: &Target, line: std::fmt::Arguments<'_>) {
    if target.is_stream() {
        say(line);
    } else {
        let _ = writeln!(stdout::lock(), "{line}");
    }
}

fn embed(embedder: &Embedder, texts: &[&str], options: &EmbedOptions) -> Result<Vec<f32>, Unfit> {
    match embedder.embed(texts, options) {
        Ok(vectors) => Ok(vectors.as_f32().unwrap_or_default().to_vec()),
        Err(Error::Text { text, source }) => Err(Unfit { text: Some(text), why: source.into() }),
        Err(e) => Err(Unfit { text: None, why: e.into() }),
    }
}

/// Whether two paths are the same file.
fn same(a: &Path, b: &Path) -> bool {
    a.is_file() && matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The properties that must be unchanged to resume an earlier run.
fn identity(args: &Args, input: &Table, text: usize, model: String, dim: usize, empty: Empty) -> Result<Identity> {
    let number = |n: Option<u32>| n.map_or("none".into(), |n| n.to_string());
    let values = [
        ("the input", args.table.identity(input)?),
        ("the text column", format!("\"{}\"", input.schema().field(text).name())),
        ("the model", model),
        ("--kind", format!("{:?}", args.kind).to_lowercase()),
        ("--dim", dim.to_string()),
        ("--pooling", args.pooling.map_or("the model's".into(), |pooling| format!("{pooling:?}").to_lowercase())),
        ("--max-tokens", number(args.max_tokens)),
        ("--chunk-tokens", number(args.chunk_tokens)),
        ("--chunk-overlap", args.chunk_overlap.to_string()),
        ("--empty", format!("{empty:?}").to_lowercase()),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Progress display and stop flag.
struct Progress {
    bar: Bar,
    rows: u64,
    stop: Arc<AtomicBool>,
}

impl Progress {
    fn new(done: u64, rows: u64, stop: Arc<AtomicBool>) -> Self {
        let template = "{bar:40.cyan/dim} {human_pos}/{human_len} rows {msg} · {per_sec} · {eta} left";
        Self { bar: Bar::new(template, rows, done), rows, stop }
    }

    fn show(&mut self, rows: u64, what: &str) {
        self.bar.set(rows);
        let of = self.rows;
        self.bar.report(what.to_owned(), |bar, what| format!("{rows} of {of} rows {what}, {:.0} per second", bar.rate()));
    }
}

impl Watch for Progress {
    fn embedded(&mut self, rows: u64) {
        self.show(rows, "embedded");
    }

    fn written(&mut self, rows: u64) {
        if rows == self.rows || rows.is_multiple_of(1024) {
            self.show(rows, "written");
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
