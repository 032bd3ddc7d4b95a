//! Plain text: one row per line. Lines end in a line feed, a carriage return, or both, as Python reads them.

use super::BATCH_BYTES;
use super::origin::Origin;
use crate::data::source::Source;
use anyhow::Result;
use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// The name of the only column.
const COLUMN: &str = "text";

pub(super) fn scan(origins: &[Origin]) -> Result<(SchemaRef, Vec<u64>)> {
    let count = |origin: &Origin| {
        let (mut rows, mut count) = (Rows::new(origin.source()?), 0);
        while rows.read()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    let counts = origins.iter().map(count).collect::<Result<_>>()?;
    Ok((Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, true)])), counts))
}

/// Lines one after another.
struct Rows {
    source: Source,
    /// What is read up to a line feed, and how much of it are rows already.
    line: String,
    at: usize,
}

impl Rows {
    fn new(source: Source) -> Self {
        Self { source, line: String::new(), at: 0 }
    }

    /// The next line without its line break.
    fn read(&mut self) -> Result<Option<&str>> {
        if self.at == self.line.len() {
            if self.line.capacity() > 2 * BATCH_BYTES {
                self.line = String::new();
            }
            self.at = 0;
            // After a byte order mark alone the line is empty.
            if !self.source.line(&mut self.line)? {
                self.line.clear();
                return Ok(None);
            }
        }
        let rest = &self.line[self.at..];
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        self.at += end + if rest[end..].starts_with("\r\n") { 2 } else { usize::from(end < rest.len()) };
        Ok(Some(&rest[..end]))
    }
}

/// Lines without line breaks, in batches. An empty line is a row with an empty text.
pub(super) struct Lines {
    rows: Rows,
    schema: SchemaRef,
    size: usize,
    finished: bool,
}

impl Lines {
    pub(super) fn new(origin: &Origin, schema: SchemaRef, size: usize, first: u64) -> Result<Self> {
        let mut rows = Rows::new(origin.source()?);
        for _ in 0..first {
            rows.read()?;
        }
        Ok(Self { rows, schema, size, finished: false })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts = StringBuilder::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.size && bytes < BATCH_BYTES {
            let Some(text) = self.rows.read()? else { break };
            texts.append_value(text);
            rows += 1;
            bytes += text.len() + 1;
        }
        let column: ArrayRef = Arc::new(texts.finish());
        let columns = self.schema.fields().iter().map(|_| column.clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok((rows > 0).then_some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}

impl Iterator for Lines {
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
