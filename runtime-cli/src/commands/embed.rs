//! `hh-runtime embed`: embeddings of every row of a file.

use crate::bulk::{self, Empty, Format, Identity, Job, Unfinished, Unfit, Watch};
#[cfg(not(feature = "english"))]
use crate::features::{Absent, Feature};
use crate::interrupt::{Ending, Interrupt};
use crate::loading::Source;
use crate::progress::Bar;
use crate::stderr::say;
use crate::stdout;
use crate::table::Table;
use anyhow::{Context, Result, bail};
use hh::{EmbedOptions, Embedder, Error, Prompt};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, UNIX_EPOCH};

const EXAMPLES: &str = "\
Examples:
  hh-runtime embed model.safetensors --input reviews.parquet --text-column body --output reviews-vectors.parquet
      all columns of the file, and the column `embedding`
  hh-runtime embed model.safetensors --input passages.jsonl.gz --output index.jsonl --kind document --dim 128
  hh-runtime embed model.safetensors --input sentences.txt --output vectors.npy --empty zero

Input formats are .txt (one row per line), .csv and .tsv with a header, .jsonl, all of them also compressed as .gz or .zst, and \
.parquet. A Parquet output has embeddings as FixedSizeList<Float32>; .npy has float32 [rows, dimensions] and no other columns.

Memory use does not grow with the file. Ctrl-C saves, and the same command resumes from the folder OUTPUT.unfinished, which is \
deleted at the end. The output is renamed into place when it is complete.";

/// Arguments of `embed`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or a run folder (its best.safetensors is used) [default: the built-in English model, if built with the
    /// feature `english`]
    #[arg(value_name = "MODEL")]
    checkpoint: Option<PathBuf>,
    /// Input file
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Text column [default: text, or the only text column]
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// Output file: .parquet, .jsonl or .npy
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Name of the embedding column
    #[arg(long, value_name = "NAME", default_value = "embedding")]
    column: String,
    /// Use of the texts, which selects the prompt of a model that was trained with prompts
    #[arg(long, value_enum, default_value = "plain")]
    kind: KindName,
    /// Keep only the first N dimensions [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    dim: Option<u32>,
    /// Embedding of a row whose text is null or blank [default: null; for .npy, which has no null, refuse]
    #[arg(long, value_enum)]
    empty: Option<Empty>,
    /// Rows per batch
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

/// Embeds the rows of a file.
///
/// # Errors
/// An invalid model, input or option, a text that cannot be embedded, or a file that cannot be written.
pub fn run(args: Args, interrupt: Interrupt) -> Result<Ending> {
    let began = Instant::now();
    let format = Format::of(&args.output)?;
    let empty = match (args.empty, format) {
        (Some(Empty::Null), Format::Npy) => {
            bail!("--empty null needs .parquet or .jsonl, because .npy has no null; use zero or refuse")
        }
        (None, Format::Npy) => Empty::Refuse,
        (None, _) => Empty::Null,
        (Some(empty), _) => empty,
    };
    let (embedder, model) = model(args.checkpoint.as_deref())?;
    let embedder = match args.threads {
        Some(threads) => embedder.with_threads(threads.into()),
        None => embedder,
    };
    let options = EmbedOptions { prompt: args.kind.into(), truncate_dim: args.dim.map(|dim| dim as usize), ..EmbedOptions::default() };
    let dim = options.truncate_dim.unwrap_or(embedder.dim());
    if dim > embedder.dim() {
        bail!("--dim is {dim}, but the model's embeddings have {} dimensions: give 1 to {0}", embedder.dim());
    }
    let input = Table::open(&args.input)?;
    let text = text_column(&input, args.text_column.as_deref())?;
    if format != Format::Npy && input.columns().any(|column| column == args.column) {
        bail!("{} already has a column \"{}\": give another name with --column", args.input.display(), args.column);
    }
    if same(&args.input, &args.output) {
        bail!("{} is the input: write to another file", args.output.display());
    }
    let identity = identity(&args, &input, text, model, dim, empty)?;
    let job = Job { input: &input, text, output: &args.output, format, column: &args.column, dim, empty, rows: args.batch as usize };
    let mut unfinished = Unfinished::open(&args.output, &identity, dim, args.restart)?;
    if unfinished.rows() > 0 {
        say(format_args!("resuming after row {} of {}", unfinished.rows(), input.rows()));
    }
    let mut progress = Progress::new(unfinished.rows(), input.rows(), interrupt.listen()?);
    let mut embed = |texts: &[&str]| match embedder.embed(texts, &options) {
        Ok(vectors) => Ok(vectors.as_f32().unwrap_or_default().to_vec()),
        Err(Error::Text { text, source }) => Err(Unfit { text: Some(text), why: source.into() }),
        Err(e) => Err(Unfit { text: None, why: e.into() }),
    };
    let done = match bulk::embed(&job, &mut unfinished, &mut embed, &mut progress) {
        Ok(done) => done && bulk::assemble(&job, &unfinished, &mut progress)?,
        Err(e) => {
            if unfinished.rows() == 0 {
                unfinished.remove()?;
            }
            return Err(e);
        }
    };
    progress.bar.finish();
    if !done {
        let rows = unfinished.rows();
        let _ = writeln!(stdout::lock(), "stopped after row {rows} of {}; run the same command again to resume", input.rows());
        return Ok(Ending::Stopped);
    }
    unfinished.remove()?;
    let seconds = began.elapsed().as_secs_f64();
    writeln!(stdout::lock(), "{}: {} rows, {dim} dimensions, {seconds:.1} s", args.output.display(), input.rows())?;
    Ok(Ending::Done)
}

/// The model, and its identity.
fn model(path: Option<&Path>) -> Result<(Embedder, String)> {
    let Some(path) = path else { return english() };
    let source = Source::open(path)?;
    Ok((Embedder::from_file(source.path())?, source.sha256()))
}

#[cfg(feature = "english")]
fn english() -> Result<(Embedder, String)> {
    Ok((Embedder::english()?, concat!("the English one of version ", env!("CARGO_PKG_VERSION")).into()))
}

#[cfg(not(feature = "english"))]
fn english() -> Result<(Embedder, String)> {
    Err(anyhow::Error::from(Absent(Feature::English)).context("no model is given"))
}

/// The named column, or else `text` or the only text column.
fn text_column(input: &Table, name: Option<&str>) -> Result<usize> {
    if let Some(name) = name {
        return input.text_column(name);
    }
    let found: Vec<_> = input.columns().filter_map(|name| input.text_column(name).ok()).collect();
    match (input.text_column("text"), &found[..]) {
        (Ok(column), _) | (Err(_), &[column]) => Ok(column),
        (Err(e), _) => Err(e.context("select the text column with --text-column")),
    }
}

/// Whether two paths are the same file.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The properties that must be unchanged to resume an earlier run.
fn identity(args: &Args, input: &Table, text: usize, model: String, dim: usize, empty: Empty) -> Result<Identity> {
    let file = args.input.metadata().with_context(|| format!("cannot read {}", args.input.display()))?;
    let changed = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let values = [
        ("the input", format!("{} of {} bytes, changed at {}", args.input.display(), file.len(), changed.as_nanos())),
        ("the text column", format!("\"{}\"", input.schema().field(text).name())),
        ("the model", model),
        ("--kind", format!("{:?}", args.kind).to_lowercase()),
        ("--dim", dim.to_string()),
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
