//! Tables of text and of vectors, read from common file formats.
//!
//! | name ends in | rows | columns |
//! |---|---|---|
//! | `.txt` (`.md`, `.tokens`, any other) | lines | one, `text` |
//! | `.csv` | comma-separated records, quoted as in RFC 4180 | those of the header, all of them text; an empty cell is null |
//! | `.tsv` | tab-separated lines without quoting | the same |
//! | `.jsonl` | one object per line | every field of any line, with the narrowest type that fits all lines |
//! | `.parquet` | rows | those of the schema; not encrypted, compressed with Snappy, Zstandard, LZ4, gzip or not at all |
//!
//! Text files may also be compressed as `.gz` or `.zst`. Rows are read as Arrow [`RecordBatch`]es, one at a time, so memory does
//! not depend on the size of the file.

mod json;
mod lines;
mod npy;
mod pages;
mod parquet;
mod separated;
mod vectors;

pub use npy::NpyWriter;
pub use vectors::Vectors;

use crate::data::source::Source;
use anyhow::{Context, Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use std::path::{Path, PathBuf};

/// Batches of rows; ends after the first error.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A file of rows.
///
/// Opening it reads the whole file once (of a Parquet file only the footer), to find the columns, their types and the number of
/// rows, so that an invalid line is reported before any work starts.
pub struct Table {
    path: PathBuf,
    format: Format,
    schema: SchemaRef,
    rows: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Lines,
    Separated(separated::Dialect),
    Json,
    Parquet,
}

impl Table {
    /// Opens a file, whose extension determines its format.
    ///
    /// # Errors
    /// A file that is missing, empty, damaged or of another format, with the line if there is one.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let (format, (schema, rows)) = if source.ends_with(".parquet") {
            (Format::Parquet, parquet::scan(path)?)
        } else if source.ends_with(".jsonl") || source.ends_with(".ndjson") {
            (Format::Json, json::scan(source)?)
        } else if let Some(dialect) = separated::Dialect::of(&source) {
            (Format::Separated(dialect), separated::scan(source, dialect)?)
        } else {
            (Format::Lines, lines::scan(source)?)
        };
        if rows == 0 {
            bail!("{} has no rows", path.display());
        }
        Ok(Self { path: path.to_owned(), format, schema, rows })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Names of the columns, in the file's order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The index of a column.
    ///
    /// # Errors
    /// An unknown column; the message lists the columns.
    pub fn column(&self, name: &str) -> Result<usize> {
        match self.columns().position(|column| column == name) {
            Some(index) => Ok(index),
            None => bail!("{} has no column \"{name}\"; it has {}", self.path.display(), listed(self.columns())),
        }
    }

    /// The index of a text column.
    ///
    /// # Errors
    /// As [`column`](Self::column), and a column of another type.
    pub fn text_column(&self, name: &str) -> Result<usize> {
        let index = self.column(name)?;
        let kind = self.schema.field(index).data_type();
        if !is_text(kind) {
            let text = self.schema.fields().iter().filter(|field| is_text(field.data_type())).map(|field| field.name().as_str());
            bail!("column \"{name}\" of {} has type {kind}, not text; the text columns are {}", self.path.display(), listed(text));
        }
        Ok(index)
    }

    /// Batches of at most `size` rows of some columns, in the order given, from row `first` on.
    ///
    /// # Errors
    /// A file that can no longer be read; errors in rows are returned by the iterator, with their line or row.
    ///
    /// # Panics
    /// If there is no such column, or `size` is 0.
    pub fn batches(&self, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
        assert!(size > 0, "batches of no rows");
        let schema: SchemaRef = self.schema.project(columns).expect("columns of this table").into();
        let path = &self.path;
        Ok(match self.format {
            Format::Lines => Box::new(lines::Lines::new(Source::open(path)?, schema, size, first)?),
            Format::Separated(dialect) => {
                Box::new(separated::Records::new(Source::open(path)?, dialect, schema, columns.to_vec(), size, first)?)
            }
            Format::Json => Box::new(json::Objects::new(Source::open(path)?, schema, size, first)?),
            Format::Parquet => parquet::batches(path, columns, size, first)?,
        })
    }

    /// The unmodified lines of a `.jsonl`, one for each row; `None` for other files.
    ///
    /// # Errors
    /// As [`batches`](Self::batches).
    pub fn json_lines(&self) -> Result<Option<impl Iterator<Item = Result<String>> + Send + use<>>> {
        Ok(if self.format == Format::Json { Some(Source::open(&self.path)?.filled_lines()) } else { None })
    }

    /// Batches of at most `size` rows of text columns: for each batch the columns in the given order, each with a text or null
    /// for every row.
    ///
    /// # Errors
    /// As [`text_column`](Self::text_column) and [`batches`](Self::batches).
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn texts(&self, columns: &[&str], size: usize) -> Result<impl Iterator<Item = Result<Vec<Vec<Option<String>>>>> + Send + use<>> {
        let columns = columns.iter().map(|name| self.text_column(name)).collect::<Result<Vec<_>>>()?;
        let batches = self.batches(&columns, size, 0)?;
        Ok(batches.map(|batch| batch?.columns().iter().map(|column| texts(column)).collect()))
    }
}

/// The texts of a text column: a text or null for each row.
///
/// # Errors
/// A column of another type.
pub fn texts(column: &dyn Array) -> Result<Vec<Option<String>>> {
    let column = arrow_cast::cast(column, &DataType::LargeUtf8).context("a column is not text")?;
    Ok(column.as_string::<i64>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// Whether a type is a text type, in any encoding. The type of columns with only nulls is one, too.
fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

/// The first names of a list, for messages.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
    match names.len() {
        0 => "none".into(),
        1..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

#[cfg(test)]
mod tests;
