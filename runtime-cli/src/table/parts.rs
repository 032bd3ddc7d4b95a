//! The rows of one or several files, one batch after another.

use super::cells::Dialect;
use super::origin::Origin;
use super::{Batches, Format, json, lines, parquet, separated};
use anyhow::Result;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Schema, SchemaRef};
use std::iter::repeat_n;
use std::sync::Arc;

/// A file of a table.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) origin: Origin,
    pub(super) rows: u64,
    /// Values of the columns that are in the path and not in the file.
    pub(super) keys: Vec<Option<String>>,
}

/// What to read of each file.
pub(super) struct Request {
    pub(super) format: Format,
    pub(super) dialect: Dialect,
    /// All columns: those of the files, then the keys.
    pub(super) schema: SchemaRef,
    /// Number of columns of the files.
    pub(super) width: usize,
    /// Columns to read.
    pub(super) columns: Vec<usize>,
    pub(super) size: usize,
}

/// Batches of some parts from row `first` on.
pub(super) fn batches(parts: &[Part], request: Request, mut first: u64) -> Result<Batches> {
    let mut rest = Vec::new();
    for part in parts {
        if first < part.rows || part.rows == 0 {
            rest.push((part.clone(), first));
            first = 0;
        } else {
            first -= part.rows;
        }
    }
    let mut rest = rest.into_iter();
    let mut open = rest.next().map(|(part, first)| request.open(&part, first)).transpose()?;
    let mut failed = false;
    Ok(Box::new(std::iter::from_fn(move || {
        while !failed {
            if let Some(batch) = open.as_mut()?.next() {
                failed = batch.is_err();
                return Some(batch);
            }
            match rest.next().map(|(part, first)| request.open(&part, first)).transpose() {
                Ok(next) => open = next,
                Err(e) => {
                    failed = true;
                    return Some(Err(e));
                }
            }
        }
        None
    })))
}

impl Request {
    fn open(&self, part: &Part, first: u64) -> Result<Batches> {
        let inside: Vec<usize> = self.columns.iter().copied().filter(|&column| column < self.width).collect();
        let schema: SchemaRef = self.schema.project(&inside)?.into();
        let (origin, size) = (&part.origin, self.size);
        let batches: Batches = match self.format {
            Format::Lines => Box::new(lines::Lines::new(origin, schema, size, first)?),
            Format::Csv | Format::Tsv => Box::new(separated::Records::new(origin, self.dialect, schema, &inside, self.width, size, first)?),
            Format::Json | Format::Jsonl => Box::new(json::Objects::new(origin, self.format, schema, size, first)?),
            Format::Parquet => parquet::batches(origin, &inside, size, first)?,
        };
        if inside.len() == self.columns.len() {
            return Ok(batches);
        }
        let (columns, width) = (self.columns.clone(), self.width);
        let schema: SchemaRef = Arc::new(self.schema.project(&columns)?);
        let keys = part.keys.clone();
        Ok(Box::new(batches.map(move |batch| with_keys(&batch?, &columns, width, &schema, &keys))))
    }
}

/// The requested columns, from those of a file and the keys of its path.
fn with_keys(batch: &RecordBatch, columns: &[usize], width: usize, schema: &SchemaRef, keys: &[Option<String>]) -> Result<RecordBatch> {
    let mut inside = batch.columns().iter();
    let all = columns.iter().zip(schema.fields()).map(|(&column, field)| {
        if column < width {
            return Ok(inside.next().expect("a column of the file").clone());
        }
        let texts: StringArray = repeat_n(keys[column - width].as_deref(), batch.num_rows()).collect();
        Ok(if *field.data_type() == DataType::Utf8 { Arc::new(texts) as ArrayRef } else { arrow_cast::cast(&texts, field.data_type())? })
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), all.collect::<Result<_>>()?, &options)?)
}

/// The schema with other types of some columns.
pub(super) fn retyped(schema: &Schema, columns: &[usize], kind: &DataType) -> SchemaRef {
    let fields =
        schema.fields().iter().enumerate().map(|(i, field)| {
            if columns.contains(&i) { Arc::new(field.as_ref().clone().with_data_type(kind.clone())) } else { field.clone() }
        });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}
