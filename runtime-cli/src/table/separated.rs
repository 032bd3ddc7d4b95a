//! CSV and TSV: records separated by commas or tabs, under a header.

use crate::data::source::{self, Source};
use anyhow::{Result, anyhow, bail};
use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Delimiter and quoting.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Dialect {
    /// `.csv`: comma-separated, with quoting.
    Comma,
    /// `.tsv`: tab-separated, without quoting, because files of sentences have unpaired quotation marks.
    Tab,
}

impl Dialect {
    /// The dialect of a file by its extension; `None` for other formats.
    pub(super) fn of(source: &Source) -> Option<Self> {
        [(".csv", Self::Comma), (".tsv", Self::Tab)].into_iter().find(|(ending, _)| source.ends_with(ending)).map(|(_, dialect)| dialect)
    }

    fn reader(self, source: Source) -> Reader<Box<dyn BufRead + Send>> {
        let mut builder = ReaderBuilder::new();
        match self {
            Self::Comma => builder.delimiter(b','),
            Self::Tab => builder.delimiter(b'\t').quoting(false),
        };
        builder.from_reader(source.into_reader())
    }
}

pub(super) fn scan(source: Source, dialect: Dialect) -> Result<(SchemaRef, u64)> {
    let path = source.path().to_owned();
    let mut reader = dialect.reader(source);
    let header = reader.headers().map_err(|e| unreadable(&path, &e))?.clone();
    let mut seen = HashSet::new();
    if let Some(twice) = header.iter().find(|&name| !seen.insert(name)) {
        bail!("{} has two columns named \"{twice}\"; rename one", path.display());
    }
    let mut record = StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut record).map_err(|e| unreadable(&path, &e))? {
        rows += 1;
    }
    let fields: Vec<_> = header.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    Ok((Arc::new(Schema::new(fields)), rows))
}

/// Records in batches.
pub(super) struct Records {
    path: PathBuf,
    reader: Reader<Box<dyn BufRead + Send>>,
    schema: SchemaRef,
    columns: Vec<usize>,
    size: usize,
    record: StringRecord,
    finished: bool,
}

impl Records {
    pub(super) fn new(source: Source, dialect: Dialect, schema: SchemaRef, columns: Vec<usize>, size: usize, first: u64) -> Result<Self> {
        let path = source.path().to_owned();
        let mut reader = dialect.reader(source);
        let mut record = StringRecord::new();
        for _ in 0..first {
            reader.read_record(&mut record).map_err(|e| unreadable(&path, &e))?;
        }
        Ok(Self { path, reader, schema, columns, size, record, finished: false })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut cells: Vec<_> = self.columns.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = 0;
        while rows < self.size && self.reader.read_record(&mut self.record).map_err(|e| unreadable(&self.path, &e))? {
            for (cells, &column) in cells.iter_mut().zip(&self.columns) {
                cells.append_option(self.record.get(column).filter(|cell| !cell.is_empty()));
            }
            rows += 1;
        }
        let columns = cells.iter_mut().map(|cells| Arc::new(cells.finish()) as ArrayRef).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok((rows > 0).then_some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}

impl Iterator for Records {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let batch = self.batch().transpose();
        self.finished = !matches!(batch, Some(Ok(_)));
        batch
    }
}

fn unreadable(path: &Path, e: &csv::Error) -> anyhow::Error {
    let place = |position: &Option<csv::Position>| source::place(position.as_ref().map_or(1, csv::Position::line), path);
    match e.kind() {
        ErrorKind::Io(e) => source::broken(path, e),
        ErrorKind::Utf8 { pos, err } => {
            anyhow!("{} is not UTF-8, in its column {}; convert the file to UTF-8", place(pos), err.field() + 1)
        }
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            anyhow!("{} has {len} cells where the header has {expected_len}; correct the line", place(pos))
        }
        _ => anyhow!("cannot read {}: {e}", path.display()),
    }
}
