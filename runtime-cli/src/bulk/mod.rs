//! Embeddings of all rows of a table, in constant memory and resumable.
//!
//! Embeddings are first appended to a file in a working folder next to the output ([`Unfinished`]). When all are complete, the
//! input is read again and written with them to a temporary file, which is renamed to the output. So the output is never
//! incomplete, whatever the format, and a stopped run resumes after the last embedding on disk.

mod check;
mod chunks;
mod jsonl;
mod numbers;
mod output;
mod parquet;
mod pieces;
mod rows;
mod unfinished;

pub use check::check;
pub use chunks::Chunks;
pub use numbers::Numbers;
pub use output::{Format, Target};
pub use pieces::Piece;
pub use unfinished::{Identity, Unfinished, folder_of};

use crate::table::{NpyWriter, Table};
use anyhow::{Context, Result, anyhow, bail};
use hh::tokenizer::is_blank;
use pieces::Texts;
use rows::Stored;
use std::io::{self, Write};
use std::ops::Range;

/// Maximum bytes of text per call of the model, unless a single text has more.
const TEXT_BYTES: usize = 1 << 20;
/// Rows per write.
const WRITTEN: usize = 1024;

/// Handling of texts that are null or only white space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Empty {
    /// The embedding is null.
    Null,
    /// The embedding is all zeros.
    Zero,
    /// The first such row is an error.
    Refuse,
}

/// Ranges of bytes of a text that are embedded one by one, in ascending order.
pub type Split<'a> = dyn Fn(&str) -> Result<Vec<Range<usize>>> + 'a;

/// Input and output of an embedding job.
pub struct Job<'a> {
    /// The input.
    pub input: &'a Table,
    /// Index of the column of texts, or of lists of texts.
    pub text: usize,
    /// Divides texts into chunks.
    pub split: Option<&'a Split<'a>>,
    /// The output.
    pub output: &'a Target,
    /// Name of the embedding column.
    pub column: &'a str,
    /// Dimension of the embeddings.
    pub dim: usize,
    /// Type of their numbers in the output.
    pub numbers: Numbers,
    /// Handling of rows without text.
    pub empty: Empty,
    /// Texts per batch.
    pub rows: usize,
}

impl Job<'_> {
    /// Whether a row may have several embeddings, so that the output has a row for each.
    pub fn several(&self) -> bool {
        self.split.is_some() || crate::table::is_text_list(self.input.schema().field(self.text).data_type())
    }

    /// The error of a failed write to the output, which keeps its cause.
    fn cannot(&self) -> impl Fn(io::Error) -> anyhow::Error + Copy + '_ {
        |e| self.output.cannot(e)
    }
}

/// Observer of a job: progress and stop requests.
pub trait Watch {
    /// Called with the number of embedded rows.
    fn embedded(&mut self, rows: u64);
    /// Called with the number of rows of the input that are written to the output.
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

/// Embeds texts and returns their embeddings, concatenated; zeros for a text without tokens.
pub type Embed<'a> = dyn FnMut(&[&str]) -> Result<Vec<f32>, Unfit> + 'a;

/// Embeds the remaining rows with `embed`, which returns embeddings of dimension `dim`. Returns whether all rows are embedded;
/// otherwise the job was stopped and its progress is saved.
///
/// # Errors
/// Those of reading, embedding and writing; saved embeddings are kept.
pub fn embed(job: &Job<'_>, unfinished: &mut Unfinished, embed: &mut Embed<'_>, watch: &mut impl Watch) -> Result<bool> {
    let several = job.several();
    let mut row = unfinished.rows();
    for batch in job.input.batches(&[job.text], job.rows, row)? {
        let texts = Texts::of(job, batch?.column(0), row)?;
        let mut waiting: Vec<(Piece, Option<&str>)> = Vec::new();
        for local in 0..texts.rows() {
            waiting.extend(texts.pieces(job, local, row).with_context(|| job.input.place(row))?);
            row += 1;
            let last = local + 1 == texts.rows();
            while let Some(now) = portion(&waiting, job.rows, last) {
                if watch.stop() {
                    unfinished.save()?;
                    return Ok(false);
                }
                let later = waiting.split_off(now);
                // Rows of which no piece is waiting.
                let complete = later.first().map_or(row, |(piece, _)| piece.row);
                let pieces: Vec<Piece> = if several { waiting.iter().map(|(piece, _)| *piece).collect() } else { Vec::new() };
                unfinished.push(&vectors(job, &waiting, embed)?, &pieces, complete)?;
                watch.embedded(unfinished.rows());
                waiting = later;
            }
        }
    }
    unfinished.save()?;
    if unfinished.rows() != job.input.rows() {
        bail!("{} has changed: it had {} rows and now has {}", job.input.name(), job.input.rows(), unfinished.rows());
    }
    Ok(true)
}

/// Number of texts to embed in one call; `None` if more should be waited for, or, at the end, if there are none.
fn portion(texts: &[(Piece, Option<&str>)], most: usize, last: bool) -> Option<usize> {
    let mut bytes = 0;
    let fits = |(_, text): &&(Piece, Option<&str>)| {
        bytes += text.map_or(0, str::len);
        bytes <= TEXT_BYTES
    };
    let count = texts.iter().take(most).take_while(fits).count().max(1);
    let full = count < texts.len() || count == most;
    (!texts.is_empty() && (full || last)).then_some(count)
}

/// The embeddings of some texts.
fn vectors(job: &Job<'_>, texts: &[(Piece, Option<&str>)], embed: &mut Embed<'_>) -> Result<Vec<f32>> {
    let place = |i: usize| job.input.place(texts[i].0.row);
    let refused = |i: usize| anyhow!("{} has no text: correct it, or choose another handling with --empty", place(i));
    let some: Vec<_> = texts.iter().enumerate().filter_map(|(i, (_, text))| Some((i, text.filter(|text| !is_blank(text))?))).collect();
    if let (Empty::Refuse, Some(i)) = (job.empty, (0..texts.len()).find(|i| some.get(*i).is_none_or(|(row, _)| row != i))) {
        return Err(refused(i));
    }
    let some_texts: Vec<_> = some.iter().map(|(_, text)| *text).collect();
    let made = if some.is_empty() { Ok(Vec::new()) } else { embed(&some_texts) };
    let made = made.map_err(|Unfit { text, why }| match text.and_then(|text| some.get(text)) {
        Some((i, _)) => why.context(place(*i)),
        None => why,
    })?;
    let filling = if job.empty == Empty::Null { f32::NAN } else { 0.0 };
    let mut all = vec![filling; texts.len() * job.dim];
    for ((i, _), vector) in some.iter().zip(made.chunks_exact(job.dim)) {
        if vector.iter().any(|x| !x.is_finite()) {
            bail!("the embedding of {} is not finite: the model is damaged", place(*i));
        }
        // Of characters that no one sees.
        let blank = vector.iter().all(|&x| x == 0.0);
        if blank && job.empty == Empty::Refuse {
            return Err(refused(*i));
        }
        if !blank {
            all[i * job.dim..][..job.dim].copy_from_slice(vector);
        }
    }
    Ok(all)
}

/// Writes the output of a job whose rows are all embedded, atomically if it is a file. Returns whether it is complete; otherwise the
/// job was stopped.
///
/// # Errors
/// Those of reading and writing; the embeddings and an existing output file are kept.
pub fn assemble(job: &Job<'_>, unfinished: &Unfinished, watch: &mut impl Watch) -> Result<bool> {
    let mut stored = Stored::open(job, unfinished)?;
    job.output.write(&unfinished.whole(), |out| match job.output.format() {
        Format::Parquet => parquet::write(job, &mut stored, out, watch),
        Format::Jsonl => jsonl::write(job, &mut stored, out, watch),
        Format::Npy => npy(job, &mut stored, unfinished.count(), out, watch),
    })
}

fn npy(job: &Job<'_>, stored: &mut Stored, rows: u64, out: &mut impl Write, watch: &mut impl Watch) -> Result<bool> {
    let mut writer = NpyWriter::new(out, job.numbers.npy(), rows, job.numbers.width(job.dim)).map_err(job.cannot())?;
    let mut written = 0;
    while written < rows {
        if watch.stop() {
            return Ok(false);
        }
        let now = (rows - written).min(WRITTEN as u64);
        let numbers = job.numbers.convert(job.dim, stored.vectors(now as usize)?)?;
        writer.write(&numbers.bytes()).map_err(job.cannot())?;
        written += now;
        watch.written(if written == rows { job.input.rows() } else { 0 });
    }
    Ok(true)
}

/// The error of an input whose number of rows is another than before.
fn changed(job: &Job<'_>, rows: u64) -> anyhow::Error {
    anyhow!("{} has changed: it had {} rows, and now {rows}", job.input.name(), job.input.rows())
}

#[cfg(test)]
mod tests;
