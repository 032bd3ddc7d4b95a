//! Parquet files, read with the `parquet` crate and [`pages`](super::pages).

use super::origin::Origin;
use super::pages::{Chosen, readable};
use super::{BATCH_BYTES, Batches, listed};
use anyhow::{Context, Result, anyhow, bail};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampNanosecondType};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::RowGroupMetaData;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The metadata of a file; `schema` is one that differs in the resolution of timestamps.
fn metadata(origin: &Origin, schema: Option<SchemaRef>) -> Result<(std::fs::File, ArrowReaderMetadata)> {
    let file = origin.file()?;
    let options = ArrowReaderOptions::new();
    let options = if let Some(schema) = schema { options.with_schema(schema) } else { options };
    let metadata = ArrowReaderMetadata::load(&file, options)
        .map_err(|e| anyhow!("{} is not a readable Parquet file: {e}", origin.shown().display()))?;
    Ok((file, metadata))
}

/// Columns of all files, and rows of each.
pub(super) fn scan(origins: &[Origin]) -> Result<(SchemaRef, Vec<u64>)> {
    let mut first: Option<SchemaRef> = None;
    let mut counts = Vec::new();
    for origin in origins {
        let (schema, rows) = one(origin)?;
        counts.push(rows);
        let first = first.get_or_insert_with(|| schema.clone());
        let same = |a: &arrow_schema::Field, b: &arrow_schema::Field| a.name() == b.name() && a.data_type() == b.data_type();
        let fits = first.fields().len() == schema.fields().len() && first.fields().iter().zip(schema.fields()).all(|(a, b)| same(a, b));
        if !fits {
            let kinds = |schema: &SchemaRef| {
                let kinds: Vec<_> = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
                listed(kinds.iter().map(String::as_str))
            };
            bail!(
                "{} has the columns {} where {} has {}: files of one table have the same columns",
                origin.shown().display(),
                kinds(&schema),
                origins[0].shown().display(),
                kinds(first)
            );
        }
    }
    Ok((first.unwrap_or_else(|| Arc::new(Schema::empty())), counts))
}

fn one(origin: &Origin) -> Result<(SchemaRef, u64)> {
    let path = origin.shown();
    let (_, found) = metadata(origin, None)?;
    let rows = found.metadata().file_metadata().num_rows();
    let rows = u64::try_from(rows).with_context(|| format!("{} has an invalid number of rows, {rows}", path.display()))?;
    let groups = found.metadata().row_groups();
    let of_groups = groups.iter().try_fold(0, |sum: u64, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
    if of_groups != Some(rows) {
        bail!("{} is damaged: its row groups do not have the {rows} rows that its footer counts; write it again", path.display());
    }
    for chunk in groups.iter().flat_map(|group| group.columns()) {
        if !readable(chunk.compression()) {
            bail!(
                "column \"{}\" of {} has the unsupported compression {:?}; write the file with zstd or snappy",
                chunk.column_path().string(),
                path.display(),
                chunk.compression()
            );
        }
    }
    let mut seen = HashSet::new();
    if let Some(twice) = found.schema().fields().iter().find(|field| !seen.insert(field.name())) {
        bail!("{} has two columns named \"{}\"; rename one", path.display(), twice.name());
    }
    Ok((found.schema().clone(), rows))
}

/// Refuses intervals, of which the crate drops the months.
///
/// # Errors
/// Such a column.
pub(super) fn require_no_intervals(origin: &Origin, columns: &[usize]) -> Result<()> {
    let (_, found) = metadata(origin, None)?;
    let descriptor = found.parquet_schema();
    let interval = |leaf: &usize| descriptor.column(*leaf).converted_type() == ConvertedType::INTERVAL;
    let roots = (0..descriptor.num_columns()).filter(interval).map(|leaf| descriptor.get_column_root_idx(leaf));
    match roots.into_iter().find(|root| columns.contains(root)) {
        Some(root) => bail!(
            "column \"{}\" of {} has intervals of months, days and milliseconds, which cannot be copied exactly: cast it to text, or remove it",
            found.schema().field(root).name(),
            origin.shown().display()
        ),
        None => Ok(()),
    }
}

/// Refuses timestamps of type INT96 beyond those that i64 holds in nanoseconds since 1970 (the years 1677 to 2262), which the crate
/// wraps. Read in microseconds, they are right.
///
/// # Errors
/// Such a timestamp, with its row.
pub(super) fn require_exact_timestamps(origin: &Origin, columns: &[usize]) -> Result<()> {
    let (_, found) = metadata(origin, None)?;
    let descriptor = found.parquet_schema();
    let int96: Vec<usize> = (0..descriptor.num_columns())
        .filter(|&leaf| descriptor.column(leaf).physical_type() == Type::INT96)
        .map(|leaf| descriptor.get_column_root_idx(leaf))
        .filter(|root| columns.contains(root) && matches!(found.schema().field(*root).data_type(), DataType::Timestamp(_, _)))
        .collect();
    if int96.is_empty() {
        return Ok(());
    }
    let coarse = super::parts::retyped(found.schema(), &int96, &DataType::Timestamp(TimeUnit::Microsecond, None));
    let mut row = 0;
    for (fine, coarse) in batches(origin, &int96, 4096, 0)?.zip(batches_as(origin, Some(coarse), &int96, 4096, 0)?) {
        let (fine, coarse) = (fine?, coarse?);
        for (i, (fine, coarse)) in fine.columns().iter().zip(coarse.columns()).enumerate() {
            let fine = fine.as_primitive::<TimestampNanosecondType>().iter();
            let mut both = fine.zip(coarse.as_primitive::<TimestampMicrosecondType>());
            if let Some(wrong) = both.position(|(fine, coarse)| fine.map(|fine| fine.div_euclid(1000)) != coarse) {
                bail!(
                    "row {} of {} has a timestamp in column \"{}\" that nanoseconds in 64 bits cannot hold (INT96): write the file with \
                     timestamps in microseconds",
                    row + wrong + 1,
                    origin.shown().display(),
                    found.schema().field(int96[i]).name()
                );
            }
        }
        row += fine.num_rows();
    }
    Ok(())
}

/// At most `size` rows, and not many more than [`BATCH_BYTES`] bytes on average, whatever the row group.
fn bounded(size: usize, found: &ArrowReaderMetadata, mask: &ProjectionMask) -> usize {
    let bytes = |group: &RowGroupMetaData| -> u64 {
        let chunks = group.columns().iter().enumerate().filter(|(i, _)| mask.leaf_included(*i));
        // A dictionary has each value once, however many rows have it; newer files tell the bytes of the rows.
        let bytes = chunks.map(|(_, chunk)| chunk.unencoded_byte_array_data_bytes().unwrap_or(0).max(chunk.uncompressed_size()).max(0));
        bytes.fold(0, |sum, bytes| sum.saturating_add(bytes as u64))
    };
    let groups = found.metadata().row_groups().iter();
    let widest = groups.map(|group| bytes(group) / (group.num_rows().max(1) as u64)).max().unwrap_or(0);
    size.min((BATCH_BYTES as u64 / widest.max(1)).max(1) as usize)
}

/// Batches of some columns, in the order given, from row `first` on. Row groups before that row are not read.
pub(super) fn batches(origin: &Origin, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
    batches_as(origin, None, columns, size, first)
}

fn batches_as(origin: &Origin, schema: Option<SchemaRef>, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
    let path = origin.shown();
    let (file, found) = metadata(origin, schema)?;
    let mask = ProjectionMask::roots(found.parquet_schema(), columns.iter().copied());
    let size = bounded(size, &found, &mask);
    let levels = parquet_to_arrow_field_levels(found.parquet_schema(), mask, Some(found.schema().fields()))
        .map_err(|e| anyhow!("{} has columns that cannot be read: {e}", path.display()))?;
    let mut skip = first as usize;
    let mut groups = Vec::new();
    for (index, group) in found.metadata().row_groups().iter().enumerate() {
        let rows = group.num_rows() as usize;
        if groups.is_empty() && skip >= rows {
            skip -= rows;
        } else {
            groups.push(index);
        }
    }
    if groups.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let chosen = Chosen { file: Arc::new(file), metadata: found.metadata().clone(), groups };
    let rows = parquet::arrow::arrow_reader::RowGroups::num_rows(&chosen);
    let selection = (skip > 0).then(|| RowSelection::from(vec![RowSelector::skip(skip), RowSelector::select(rows - skip)]));
    let path = path.to_owned();
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &chosen, size, selection)
        .map_err(|e| damaged(&path, 1 + first, &ArrowError::from(e)))?;
    // The projection keeps the order of the file.
    let mut sorted = columns.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let order = columns.iter().map(|column| sorted.partition_point(|other| other < column)).collect();
    let end = first + (rows - skip) as u64;
    Ok(Box::new(Rows { reader, path, order, row: first, end, finished: false }))
}

struct Rows {
    reader: ParquetRecordBatchReader,
    path: PathBuf,
    order: Vec<usize>,
    row: u64,
    /// The row after the last one.
    end: u64,
    finished: bool,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let batch = self.reader.next();
        self.finished = !matches!(batch, Some(Ok(_)));
        if batch.is_none() && self.row != self.end {
            let e = ArrowError::ParquetError(format!("its columns end before row {}", self.end));
            return Some(Err(damaged(&self.path, self.row + 1, &e)));
        }
        Some(match batch?.and_then(|batch| batch.project(&self.order)) {
            Ok(batch) => {
                self.row += batch.num_rows() as u64;
                Ok(batch)
            }
            Err(e) => Err(damaged(&self.path, self.row + 1, &e)),
        })
    }
}

fn damaged(path: &Path, row: u64, e: &ArrowError) -> anyhow::Error {
    let reason = match e {
        ArrowError::ParquetError(reason) => reason.clone(),
        e => e.to_string(),
    };
    anyhow!("{} cannot be read from row {row} on: {reason}; copy or write it again", path.display())
}
