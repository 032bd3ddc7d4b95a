//! Vectors for all rows of a file: in constant memory, and stoppable anywhere.
//!
//! Vectors go to a folder beside the output first ([`Unfinished`]), one after the other. When all are there, the input is
//! read again and written together with them, beside the output, which then takes its name; so nothing half-written ever
//! stands there, whatever the format, and a run that was stopped goes on behind the last vector that reached the disk.

mod jsonl;
mod parquet;
mod unfinished;

pub use unfinished::{Identity, Unfinished, folder_of};

use crate::files;
use crate::table::{NpyWriter, Table, texts};
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Bytes of text that are embedded at a time at most, unless one text alone has more.
const TEXT_BYTES: usize = 1 << 20;
/// Rows that are written at a time.
const WRITTEN: usize = 1024;

/// What the output is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The input's columns and one of vectors, as `FixedSizeList<Float32>`.
    Parquet,
    /// The input's columns as an object a line, and the vector as a list of numbers.
    Jsonl,
    /// The vectors alone, `[rows, dim]`.
    Npy,
}

impl Format {
    /// That of a file's name.
    ///
    /// # Errors
    /// One sentence for a name with another ending.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase).as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("npy") => Ok(Self::Npy),
            _ => bail!("cannot tell what to write from the name {}: let it end in .parquet, .jsonl or .npy", path.display()),
        }
    }
}

/// What becomes of a row whose text is null or nothing but white space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Empty {
    /// Its vector is null.
    Null,
    /// Its vector is all zeros.
    Zero,
    /// The first such row ends the run.
    Refuse,
}

/// What to make from what.
pub struct Job<'a> {
    /// The rows.
    pub input: &'a Table,
    /// The index of the column of texts.
    pub text: usize,
    /// Where the result goes.
    pub output: &'a Path,
    /// What it is.
    pub format: Format,
    /// The name of the new column.
    pub column: &'a str,
    /// Numbers of a vector.
    pub dim: usize,
    /// What becomes of rows without text.
    pub empty: Empty,
    /// Rows that are embedded at a time.
    pub rows: usize,
}

/// Whoever watches a run.
pub trait Watch {
    /// So many rows have their vectors on the disk.
    fn embedded(&mut self, rows: u64);
    /// So many rows stand in the output.
    fn written(&mut self, rows: u64);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// Why some texts have no vectors.
pub struct Unfit {
    /// The place of the text that is to blame among them, from 0 on, if one is.
    pub text: Option<usize>,
    /// What is wrong.
    pub why: anyhow::Error,
}

/// What gives the vectors of some texts, one after the other.
pub type Embed<'a> = dyn FnMut(&[&str]) -> Result<Vec<f32>, Unfit> + 'a;

/// Embeds the rows that have no vector yet; `embed` gives vectors of `dim` numbers. Returns whether all rows have one; else
/// the run was stopped, and all is saved.
///
/// # Errors
/// What reading, embedding and writing say, in one sentence; what was embedded before stays.
pub fn embed(job: &Job<'_>, unfinished: &mut Unfinished, embed: &mut Embed<'_>, watch: &mut impl Watch) -> Result<bool> {
    for batch in job.input.batches(&[job.text], job.rows, unfinished.rows())? {
        let texts = texts(batch?.column(0))?;
        let mut rest = &texts[..];
        while !rest.is_empty() {
            if watch.stop() {
                unfinished.save()?;
                return Ok(false);
            }
            let (now, later) = rest.split_at(portion(rest));
            unfinished.push(&vectors(job, unfinished.rows(), now, embed)?)?;
            watch.embedded(unfinished.rows());
            rest = later;
        }
    }
    unfinished.save()?;
    if unfinished.rows() != job.input.rows() {
        bail!("{} has changed: it had {} rows, and now {}", job.input.path().display(), job.input.rows(), unfinished.rows());
    }
    Ok(true)
}

/// How many of these rows are embedded together.
fn portion(texts: &[Option<String>]) -> usize {
    let mut bytes = 0;
    let fits = |text: &&Option<String>| {
        bytes += text.as_ref().map_or(0, String::len);
        bytes <= TEXT_BYTES
    };
    texts.iter().take_while(fits).count().max(1)
}

/// The vectors of some rows, of which the first is row `first` of all, from 0 on.
fn vectors(job: &Job<'_>, first: u64, texts: &[Option<String>], embed: &mut Embed<'_>) -> Result<Vec<f32>> {
    let row = |i: usize| format!("row {} of {}", first + i as u64 + 1, job.input.path().display());
    let some: Vec<_> =
        texts.iter().enumerate().filter_map(|(i, text)| Some((i, text.as_deref().filter(|text| !text.trim().is_empty())?))).collect();
    if let (Empty::Refuse, Some(i)) = (job.empty, (0..texts.len()).find(|i| some.get(*i).is_none_or(|(row, _)| row != i))) {
        bail!("{} has no text to embed: correct it, or say with --empty what becomes of such rows", row(i));
    }
    let some_texts: Vec<_> = some.iter().map(|(_, text)| *text).collect();
    let made = if some.is_empty() { Ok(Vec::new()) } else { embed(&some_texts) };
    let made = made.map_err(|Unfit { text, why }| match text.and_then(|text| some.get(text)) {
        Some((i, _)) => why.context(row(*i)),
        None => why,
    })?;
    let filling = if job.empty == Empty::Null { f32::NAN } else { 0.0 };
    let mut all = vec![filling; texts.len() * job.dim];
    for ((i, _), vector) in some.iter().zip(made.chunks_exact(job.dim)) {
        if vector.iter().any(|x| !x.is_finite()) {
            bail!("the vector of {} is not finite: the model is damaged", row(*i));
        }
        all[i * job.dim..][..job.dim].copy_from_slice(vector);
    }
    Ok(all)
}

/// Writes the output of a job whose rows are all embedded, and lets it take its name. Returns whether it did; else the run
/// was stopped.
///
/// # Errors
/// What reading and writing say, in one sentence; the vectors stay, and what stood under the output's name.
pub fn assemble(job: &Job<'_>, unfinished: &Unfinished, watch: &mut impl Watch) -> Result<bool> {
    let beside = unfinished.whole();
    let cannot = |e: io::Error| anyhow!("cannot write {}: {}", job.output.display(), files::remedy(&e));
    let mut vectors = Stored { file: BufReader::with_capacity(1 << 18, unfinished.vectors()?), dim: job.dim, bytes: Vec::new() };
    let mut out = BufWriter::with_capacity(1 << 18, File::create(&beside).map_err(cannot)?);
    let done = match job.format {
        Format::Parquet => parquet::write(job, &mut vectors, &mut out, watch)?,
        Format::Jsonl => jsonl::write(job, &mut vectors, &mut out, watch)?,
        Format::Npy => npy(job, &mut vectors, &mut out, watch)?,
    };
    if done {
        out.into_inner().map_err(|e| cannot(e.into_error()))?.sync_all().map_err(cannot)?;
        fs::rename(&beside, job.output).map_err(cannot)?;
        files::sync_folder(&files::folder_of(job.output)).map_err(cannot)?;
    }
    Ok(done)
}

/// Vectors on the disk, from the first on.
struct Stored {
    file: BufReader<File>,
    dim: usize,
    bytes: Vec<u8>,
}

impl Stored {
    /// Those of the next rows, one after the other. A vector of NaN stands for none.
    fn next(&mut self, rows: usize) -> Result<Vec<f32>> {
        self.bytes.resize(rows * self.dim * size_of::<f32>(), 0);
        self.file.read_exact(&mut self.bytes).context("the vectors beside the output cannot be read")?;
        Ok(self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }
}

fn npy(job: &Job<'_>, vectors: &mut Stored, out: &mut impl Write, watch: &mut impl Watch) -> Result<bool> {
    let cannot = |e: io::Error| anyhow!("cannot write {}: {}", job.output.display(), files::remedy(&e));
    let rows = job.input.rows();
    let mut writer = NpyWriter::new(out, rows, job.dim).map_err(cannot)?;
    let mut written = 0;
    while written < rows {
        if watch.stop() {
            return Ok(false);
        }
        let now = (rows - written).min(WRITTEN as u64);
        writer.write(&vectors.next(now as usize)?).map_err(cannot)?;
        written += now;
        watch.written(written);
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
