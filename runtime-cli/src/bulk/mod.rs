//! Embeddings of all rows of a file, in constant memory and resumable.
//!
//! Embeddings are first appended to a file in a working folder next to the output ([`Unfinished`]). When all are complete, the
//! input is read again and written with them to a temporary file, which is renamed to the output. So the output is never
//! incomplete, whatever the format, and a stopped run resumes after the last embedding on disk.

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

/// Maximum bytes of text per call of the model, unless a single text has more.
const TEXT_BYTES: usize = 1 << 20;
/// Rows per write.
const WRITTEN: usize = 1024;

/// Output formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The columns of the input and the embeddings, as `FixedSizeList<Float32>`.
    Parquet,
    /// One object per line: the columns of the input and the embedding, as a list.
    Jsonl,
    /// The embeddings only, `[rows, dim]` in f32.
    Npy,
}

impl Format {
    /// The format of a file by its extension.
    ///
    /// # Errors
    /// An unknown extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase).as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("npy") => Ok(Self::Npy),
            _ => bail!("unknown output format of {}: use the extension .parquet, .jsonl or .npy", path.display()),
        }
    }
}

/// Handling of rows whose text is null or only white space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Empty {
    /// The embedding is null.
    Null,
    /// The embedding is all zeros.
    Zero,
    /// The first such row is an error.
    Refuse,
}

/// Input and output of an embedding job.
pub struct Job<'a> {
    /// The input.
    pub input: &'a Table,
    /// Index of the text column.
    pub text: usize,
    /// Path of the output.
    pub output: &'a Path,
    /// Format of the output.
    pub format: Format,
    /// Name of the embedding column.
    pub column: &'a str,
    /// Dimension of the embeddings.
    pub dim: usize,
    /// Handling of rows without text.
    pub empty: Empty,
    /// Rows per batch.
    pub rows: usize,
}

/// Observer of a job: progress and stop requests.
pub trait Watch {
    /// Called with the number of embedded rows.
    fn embedded(&mut self, rows: u64);
    /// Called with the number of rows written to the output.
    fn written(&mut self, rows: u64);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// The error of texts that could not be embedded.
pub struct Unfit {
    /// Index of the invalid text, from 0; `None` if the error concerns none in particular.
    pub text: Option<usize>,
    /// The cause.
    pub why: anyhow::Error,
}

/// Embeds texts and returns their embeddings, concatenated.
pub type Embed<'a> = dyn FnMut(&[&str]) -> Result<Vec<f32>, Unfit> + 'a;

/// Embeds the remaining rows with `embed`, which returns embeddings of dimension `dim`. Returns whether all rows are embedded;
/// otherwise the job was stopped and its progress is saved.
///
/// # Errors
/// Those of reading, embedding and writing; saved embeddings are kept.
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
        bail!("{} has changed: it had {} rows and now has {}", job.input.path().display(), job.input.rows(), unfinished.rows());
    }
    Ok(true)
}

/// Number of rows to embed in one call.
fn portion(texts: &[Option<String>]) -> usize {
    let mut bytes = 0;
    let fits = |text: &&Option<String>| {
        bytes += text.as_ref().map_or(0, String::len);
        bytes <= TEXT_BYTES
    };
    texts.iter().take_while(fits).count().max(1)
}

/// The embeddings of some rows, of which the first has the index `first`, from 0.
fn vectors(job: &Job<'_>, first: u64, texts: &[Option<String>], embed: &mut Embed<'_>) -> Result<Vec<f32>> {
    let row = |i: usize| format!("row {} of {}", first + i as u64 + 1, job.input.path().display());
    let some: Vec<_> =
        texts.iter().enumerate().filter_map(|(i, text)| Some((i, text.as_deref().filter(|text| !text.trim().is_empty())?))).collect();
    if let (Empty::Refuse, Some(i)) = (job.empty, (0..texts.len()).find(|i| some.get(*i).is_none_or(|(row, _)| row != i))) {
        bail!("{} has no text: correct it, or choose another handling with --empty", row(i));
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
            bail!("the embedding of {} is not finite: the model is damaged", row(*i));
        }
        all[i * job.dim..][..job.dim].copy_from_slice(vector);
    }
    Ok(all)
}

/// Writes the output of a job whose rows are all embedded, atomically. Returns whether it is complete; otherwise the job was
/// stopped.
///
/// # Errors
/// Those of reading and writing; the embeddings and an existing output file are kept.
pub fn assemble(job: &Job<'_>, unfinished: &Unfinished, watch: &mut impl Watch) -> Result<bool> {
    let temporary = unfinished.whole();
    let cannot = |e: io::Error| anyhow!("cannot write {}: {}", job.output.display(), files::remedy(&e));
    let mut vectors = Stored { file: BufReader::with_capacity(1 << 18, unfinished.vectors()?), dim: job.dim, bytes: Vec::new() };
    let mut out = BufWriter::with_capacity(1 << 18, File::create(&temporary).map_err(cannot)?);
    let done = match job.format {
        Format::Parquet => parquet::write(job, &mut vectors, &mut out, watch)?,
        Format::Jsonl => jsonl::write(job, &mut vectors, &mut out, watch)?,
        Format::Npy => npy(job, &mut vectors, &mut out, watch)?,
    };
    if done {
        out.into_inner().map_err(|e| cannot(e.into_error()))?.sync_all().map_err(cannot)?;
        fs::rename(&temporary, job.output).map_err(cannot)?;
        files::sync_folder(&files::folder_of(job.output)).map_err(cannot)?;
    }
    Ok(done)
}

/// Reads embeddings from disk, in order.
struct Stored {
    file: BufReader<File>,
    dim: usize,
    bytes: Vec<u8>,
}

impl Stored {
    /// The embeddings of the next rows, concatenated. NaN in all elements means null.
    fn next(&mut self, rows: usize) -> Result<Vec<f32>> {
        self.bytes.resize(rows * self.dim * size_of::<f32>(), 0);
        self.file.read_exact(&mut self.bytes).context("cannot read the saved embeddings")?;
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
