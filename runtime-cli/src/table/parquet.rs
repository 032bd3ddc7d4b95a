//! Parquet files, read with the `parquet` crate and [`pages`](super::pages).

use super::Batches;
use super::pages::{Chosen, readable};
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn metadata(path: &Path) -> Result<(std::fs::File, ArrowReaderMetadata)> {
    let file = files::open(path)?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|e| anyhow!("{} is not a readable Parquet file: {e}", path.display()))?;
    Ok((file, metadata))
}

pub(super) fn scan(path: &Path) -> Result<(SchemaRef, u64)> {
    let (_, found) = metadata(path)?;
    let rows = found.metadata().file_metadata().num_rows();
    let rows = u64::try_from(rows).with_context(|| format!("{} has an invalid number of rows, {rows}", path.display()))?;
    for chunk in found.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        if !readable(chunk.compression()) {
            bail!(
                "column \"{}\" of {} has the unsupported compression {:?}; write the file with zstd or snappy",
                chunk.column_path().string(),
                path.display(),
                chunk.compression()
            );
        }
    }
    Ok((found.schema().clone(), rows))
}

/// Batches of some columns, in the order given, from row `first` on. Row groups before that row are not read.
pub(super) fn batches(path: &Path, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
    let (file, found) = metadata(path)?;
    let mask = ProjectionMask::roots(found.parquet_schema(), columns.iter().copied());
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
    Ok(Box::new(Rows { reader, path, order, row: first, finished: false }))
}

struct Rows {
    reader: ParquetRecordBatchReader,
    path: PathBuf,
    order: Vec<usize>,
    row: u64,
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
