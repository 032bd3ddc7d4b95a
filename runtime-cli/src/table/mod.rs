//! Rows of text columns and rows of vectors, read from the files in which other programs keep them.
//!
//! | name ends in | rows | columns |
//! |---|---|---|
//! | `.txt` (`.md`, `.tokens`, any other) | lines | one, `text` |
//! | `.csv` | records, comma between, quoted as RFC 4180 says | those of the header, all of them text; an empty cell is null |
//! | `.tsv` | lines, a tab between; a quote is a character like any other | the same |
//! | `.jsonl` | an object a line | every field that a line has, with the narrowest type that fits all lines |
//! | `.parquet` | rows | as the file says; not encrypted, compressed with Snappy, Zstandard, LZ4, gzip or not at all |
//!
//! Text files may also be `.gz` or `.zst`. Everything is an Arrow [`RecordBatch`], a batch at a time: memory is that of a
//! batch, whatever the file's size.

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

/// Batches of rows; nothing follows the first error.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A file of rows.
///
/// It is read through once when it is opened (a Parquet file but its footer), which finds the columns, their types and the
/// number of rows; so a line that cannot be used is named before work on the first one begins.
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
    /// Opens a file, of the kind that its name says.
    ///
    /// # Errors
    /// One sentence for a file that is missing, empty, damaged or not of its kind, with the line where there is one.
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

    /// Where it is.
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
    /// One sentence that names the columns there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        match self.columns().position(|column| column == name) {
            Some(index) => Ok(index),
            None => bail!("{} has no column \"{name}\"; it has {}", self.path.display(), listed(self.columns())),
        }
    }

    /// The index of a column that holds text.
    ///
    /// # Errors
    /// As [`column`](Self::column), and for one that holds something else.
    pub fn text_column(&self, name: &str) -> Result<usize> {
        let index = self.column(name)?;
        let kind = self.schema.field(index).data_type();
        if !is_text(kind) {
            let text = self.schema.fields().iter().filter(|field| is_text(field.data_type())).map(|field| field.name().as_str());
            bail!("column \"{name}\" of {} holds {kind}, not text; text is in {}", self.path.display(), listed(text));
        }
        Ok(index)
    }

    /// Batches of at most `size` rows of some columns, in the order given, from row `first` on.
    ///
    /// # Errors
    /// One sentence for a file that can no longer be read; further ones come with the rows, and name the line or row.
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

    /// The lines of a `.jsonl` as they stand there, one for each row; none for other files.
    ///
    /// # Errors
    /// As [`batches`](Self::batches).
    pub fn json_lines(&self) -> Result<Option<impl Iterator<Item = Result<String>> + Send + use<>>> {
        Ok(if self.format == Format::Json { Some(Source::open(&self.path)?.filled_lines()) } else { None })
    }

    /// Batches of at most `size` rows of text columns: for each batch the columns in the order asked for, each with a text or
    /// a null for every row.
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

/// The texts of a column of text: one or a null for each row.
///
/// # Errors
/// If the column holds something else.
pub fn texts(column: &dyn Array) -> Result<Vec<Option<String>>> {
    let column = arrow_cast::cast(column, &DataType::LargeUtf8).context("a column holds no text")?;
    Ok(column.as_string::<i64>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// Whether columns of a type are text, however it is packed. One of nulls alone is, too.
fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

/// The first names of a list, in words.
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
