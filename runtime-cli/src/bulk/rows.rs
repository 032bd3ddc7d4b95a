//! Embeddings on disk beside the rows of the input.

use super::pieces::{self, Piece, Texts};
use super::{Format, Job, Unfinished, WRITTEN};
use crate::table::{is_binary, text_array};
use anyhow::{Context, Result};
use arrow_array::{Array, ArrayRef, LargeStringArray, RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef};
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;

/// Names of the columns that tell where a text is in the input, and whether it is of rows with several texts alone.
pub(super) const PLACE: [&str; 4] = ["chunk_row", "chunk_item", "chunk_start", "chunk_end"];

/// The values of [`PLACE`].
pub(super) fn place(piece: &Piece) -> [u64; 4] {
    [piece.row, piece.item, piece.start, piece.end]
}

/// The fields of a job's output before the embedding.
pub(super) fn fields(job: &Job<'_>) -> Vec<FieldRef> {
    let mut fields = job.input.schema().fields().to_vec();
    if job.several() || is_bytes_in_json(job) {
        fields[job.text] = Arc::new(Field::new(fields[job.text].name(), DataType::LargeUtf8, true));
    }
    if job.several() {
        fields.extend(PLACE.map(|name| Arc::new(Field::new(name, DataType::UInt64, false))));
    }
    fields
}

/// Whether the text column has the type of bytes, for which JSON has no form.
fn is_bytes_in_json(job: &Job<'_>) -> bool {
    job.output.format() == Format::Jsonl && is_binary(job.input.schema().field(job.text).data_type())
}

/// Reads embeddings from disk, in order.
pub(super) struct Stored {
    file: BufReader<File>,
    pieces: BufReader<File>,
    dim: usize,
    bytes: Vec<u8>,
    /// A piece that is read but not used.
    next: Option<Piece>,
}

impl Stored {
    pub(super) fn open(job: &Job<'_>, unfinished: &Unfinished) -> Result<Self> {
        let reader = |file| BufReader::with_capacity(1 << 18, file);
        let (file, pieces) = (reader(unfinished.vectors()?), reader(unfinished.pieces()?));
        Ok(Self { file, pieces, dim: job.dim, bytes: Vec::new(), next: None })
    }

    /// The next embeddings, concatenated. NaN in all elements means null.
    pub(super) fn vectors(&mut self, count: usize) -> Result<Vec<f32>> {
        self.bytes.resize(count * self.dim * size_of::<f32>(), 0);
        self.file.read_exact(&mut self.bytes).context("cannot read the saved embeddings")?;
        Ok(self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// At most `most` of the next pieces of rows before `row`.
    pub(super) fn pieces(&mut self, row: u64, most: usize) -> Result<Vec<Piece>> {
        let mut all = Vec::new();
        while all.len() < most {
            let piece = match self.next.take() {
                Some(piece) => piece,
                None => {
                    let mut bytes = [0; pieces::BYTES];
                    match self.pieces.read_exact(&mut bytes) {
                        Ok(()) => Piece::from_bytes(&bytes),
                        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
                        Err(e) => return Err(e).context("cannot read the saved positions"),
                    }
                }
            };
            if piece.row >= row {
                self.next = Some(piece);
                break;
            }
            all.push(piece);
        }
        Ok(all)
    }
}

/// Calls `write` with the columns of each batch of the output before the embedding, the embeddings, and the number of input rows
/// written with it. Returns false if `write` does.
pub(super) fn each(
    job: &Job<'_>,
    stored: &mut Stored,
    mut write: impl FnMut(Vec<ArrayRef>, Vec<f32>, u64) -> Result<bool>,
) -> Result<bool> {
    let columns: Vec<_> = (0..job.input.schema().fields().len()).collect();
    let mut row = 0;
    for batch in job.input.batches(&columns, WRITTEN, 0)? {
        let batch = batch?;
        let first = row;
        row += batch.num_rows() as u64;
        if !job.several() {
            let vectors = stored.vectors(batch.num_rows())?;
            let mut columns = batch.columns().to_vec();
            if is_bytes_in_json(job) {
                columns[job.text] = Arc::new(text_array(batch.column(job.text), &|i| job.input.place(first + i as u64))?);
            }
            if !write(columns, vectors, row)? {
                return Ok(false);
            }
            continue;
        }
        let texts = Texts::of(job, batch.column(job.text), first)?;
        let most = repeated(job, &batch);
        loop {
            let pieces = stored.pieces(row, most)?;
            if pieces.is_empty() {
                break;
            }
            let columns = spread(job, &batch, &texts, first, &pieces)?;
            if !write(columns, stored.vectors(pieces.len())?, row)? {
                return Ok(false);
            }
        }
    }
    if row != job.input.rows() {
        return Err(super::changed(job, row));
    }
    Ok(true)
}

/// How many rows of the output to write at once, whose columns beside the text repeat those of a row of the input.
fn repeated(job: &Job<'_>, batch: &RecordBatch) -> usize {
    const BYTES: usize = 8 << 20;
    let columns = batch.columns().iter().enumerate().filter(|(i, _)| *i != job.text);
    let bytes: usize = columns.map(|(_, column)| column.get_array_memory_size()).sum();
    (BYTES / (bytes / batch.num_rows().max(1)).max(1)).clamp(1, WRITTEN)
}

/// The columns of a batch, for each piece those of its row, with its text and place.
fn spread(job: &Job<'_>, batch: &RecordBatch, texts: &Texts, first: u64, pieces: &[Piece]) -> Result<Vec<ArrayRef>> {
    let rows: UInt32Array = pieces.iter().map(|piece| (piece.row - first) as u32).collect();
    let text: LargeStringArray = pieces.iter().map(|piece| texts.piece((piece.row - first) as usize, piece)).collect();
    let text: ArrayRef = Arc::new(text);
    let mut columns = Vec::new();
    for (i, column) in batch.columns().iter().enumerate() {
        columns.push(if i == job.text { text.clone() } else { arrow_select::take::take(column, &rows, None)? });
    }
    for i in 0..PLACE.len() {
        columns.push(Arc::new(pieces.iter().map(|piece| place(piece)[i]).collect::<UInt64Array>()));
    }
    Ok(columns)
}
