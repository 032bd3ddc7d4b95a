//! Tables of text and of vectors, read from common file formats.
//!
//! | name ends in | rows | columns |
//! |---|---|---|
//! | `.txt` `.text` `.md` `.tokens` | lines | one, `text` |
//! | `.csv` | records, quoted as in RFC 4180; the delimiter is found in the file | those of the header; numbers if the text of every cell can be restored, else text; an empty cell is null |
//! | `.tsv` `.tab` | the same, with tabs | the same |
//! | `.jsonl` `.ndjson` | one object per line | every field of any line, with the narrowest type that keeps all values |
//! | `.json` | objects of an array, or one after another | the same |
//! | `.parquet` `.pq` | rows | those of the schema; not encrypted, compressed with Snappy, Zstandard, LZ4, gzip or not at all |
//!
//! Each may also be compressed as `.gz` or `.zst`. Other names are refused, and so is a file that can be read in several ways, unless
//! [`ReadOptions`] select one. Rows are read as Arrow [`RecordBatch`]es of at most a few megabytes, unless a single row has more, so
//! memory does not depend on the size of the file.

mod cells;
mod columns;
mod dialect;
mod elements;
mod entries;
mod folders;
mod format;
mod infer;
mod json;
mod lines;
mod npy;
mod numbers;
mod origin;
mod pages;
mod parquet;
mod parts;
mod separated;
mod texts;
mod vectors;

pub use columns::texts;
pub(crate) use entries::Entries;
pub use format::{Format, ReadOptions};
pub(crate) use json::extended;
pub use npy::{NpyKind, NpyWriter};
pub(crate) use texts::{is_binary, is_text_list, text_array, text_lists};
pub use vectors::Vectors;

use anyhow::{Result, bail};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use cells::Dialect;
use origin::Origin;
use parts::{Part, Request};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Batches of rows; ends after the first error.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Maximum bytes per batch, unless a single row has more.
const BATCH_BYTES: usize = 8 << 20;

/// One or several files of rows.
///
/// Opening it reads the whole files once (of a Parquet file only the footer), to find the columns, their types and the number of
/// rows, so that an invalid line is reported before any work starts.
pub struct Table {
    parts: Vec<Part>,
    format: Format,
    dialect: Dialect,
    schema: SchemaRef,
    /// Number of columns that are in the files; the others are keys of their paths.
    width: usize,
    /// For columns whose values have no common type, the reason.
    conflicts: BTreeMap<usize, String>,
}

impl Table {
    /// Opens a file, whose extension determines its format.
    ///
    /// # Errors
    /// A file that is missing, empty, damaged, of another format or ambiguous, with the line if there is one.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_all(&[path.to_owned()], &ReadOptions::default())
    }

    /// Opens several files as one table, in this order. A folder stands for the tables in it and below; folders named `key=value`
    /// add a column. A stream (`-` is the standard input) is read once, into a temporary file.
    ///
    /// # Errors
    /// As [`open`](Self::open), and files that differ in format or columns.
    pub fn open_all(paths: &[PathBuf], options: &ReadOptions) -> Result<Self> {
        let found = folders::expand(paths, |_| options.format.is_some())?;
        let Some(first) = found.first() else { bail!("no table is given") };
        let format = options.format_of(&first.path)?;
        if let Some(other) = found.iter().find(|other| options.format_of(&other.path).is_ok_and(|other| other != format)) {
            bail!("{} and {} have different formats: give files of one format", first.path.display(), other.path.display());
        }
        let mut origins = Vec::new();
        for found in &found {
            options.format_of(&found.path)?;
            let origin = Origin::of(&found.path)?;
            origins.push(if format == Format::Parquet { origin.decompressed()? } else { origin });
        }
        let mut dialect = Dialect { delimiter: b',', quotes: true, header: true };
        let mut conflicts = BTreeMap::new();
        let (schema, counts) = match format {
            Format::Lines => lines::scan(&origins)?,
            Format::Csv | Format::Tsv => {
                dialect = dialect::of(&origins[0], format, options)?;
                separated::scan(&origins, dialect)?
            }
            Format::Jsonl | Format::Json => {
                let (schema, counts, found) = json::scan(&origins, format)?;
                conflicts = found;
                (schema, counts)
            }
            Format::Parquet => parquet::scan(&origins)?,
        };
        let width = schema.fields().len();
        let names = first.keys.iter().map(|(name, _)| name).enumerate();
        let outside: Vec<(usize, &String)> = names.filter(|(_, name)| schema.field_with_name(name).is_err()).collect();
        let mut fields = schema.fields().to_vec();
        for (key, name) in &outside {
            let values = found.iter().map(|found| found.keys[*key].1.as_deref());
            fields.push(Arc::new(Field::new(*name, separated::kind_of(values), true)));
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let parts = found.iter().zip(origins).zip(counts).map(|((found, origin), rows)| {
            let keys = outside.iter().map(|(key, _)| found.keys[*key].1.clone()).collect();
            Part { origin, rows, keys }
        });
        let table = Self { parts: parts.collect(), format, dialect, schema, width, conflicts };
        if table.rows() == 0 {
            bail!("{} has no rows", table.name());
        }
        Ok(table)
    }

    /// The path of its first file.
    pub fn path(&self) -> &Path {
        self.parts[0].origin.shown()
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        match self.parts.len() - 1 {
            0 => self.path().display().to_string(),
            more => format!("{} and {more} more", self.path().display()),
        }
    }

    /// The files, with the bytes of those that are copies of streams.
    pub(crate) fn files(&self) -> impl Iterator<Item = Result<(&Path, Option<File>)>> {
        self.parts.iter().map(|part| {
            let copy = part.origin.is_copy().then(|| part.origin.file()).transpose()?;
            Ok((part.origin.shown(), copy))
        })
    }

    /// The position of a row, from 0, for messages.
    pub fn place(&self, mut row: u64) -> String {
        for part in &self.parts {
            if row < part.rows {
                return format!("row {} of {}", row + 1, part.origin.shown().display());
            }
            row -= part.rows;
        }
        format!("a row after the last of {}", self.name())
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
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Refuses columns whose values have no common type.
    ///
    /// # Errors
    /// Such a column, with the line that does not fit the lines before it.
    pub fn require_types(&self, columns: &[usize]) -> Result<()> {
        for column in columns {
            if let Some(reason) = self.conflicts.get(column) {
                bail!("column \"{}\" has no type that fits all values: {reason}", self.schema.field(*column).name());
            }
        }
        Ok(())
    }

    fn is_separated(&self) -> bool {
        matches!(self.format, Format::Csv | Format::Tsv)
    }

    /// Batches of at most `size` rows of some columns, in the order given, from row `first` on.
    ///
    /// # Errors
    /// A column whose values have no common type, and a file that can no longer be read; errors in rows are returned by the
    /// iterator, with their line or row.
    ///
    /// # Panics
    /// If there is no such column, or `size` is 0.
    pub fn batches(&self, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
        self.batches_as(self.schema.clone(), columns, size, first)
    }

    fn batches_as(&self, schema: SchemaRef, columns: &[usize], size: usize, first: u64) -> Result<Batches> {
        assert!(size > 0, "batches of no rows");
        self.require_types(columns)?;
        let (format, dialect, width, columns) = (self.format, self.dialect, self.width, columns.to_vec());
        parts::batches(&self.parts, Request { format, dialect, schema, width, columns, size }, first)
    }

    /// The unmodified objects of a JSON file, each on one line and with the keys of its path, from the first row on; `None` for
    /// other files.
    ///
    /// # Errors
    /// As [`batches`](Self::batches).
    pub(crate) fn json_objects(&self) -> Result<Option<impl Iterator<Item = Result<String>> + Send + use<>>> {
        if !matches!(self.format, Format::Json | Format::Jsonl) {
            return Ok(None);
        }
        let (format, parts) = (self.format, self.parts.clone());
        let keys: Vec<_> = self.schema.fields()[self.width..].to_vec();
        Ok(Some(parts.into_iter().flat_map(move |part| json::objects(&part.origin, format, keys.clone(), part.keys))))
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
