//! Plain text: one row per line.

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
        let (mut source, mut line) = (origin.source()?, String::new());
        while source.line(&mut line)? {
            if line.capacity() > 2 * BATCH_BYTES {
                line = String::new();
            }
        }
        Ok(source.line_number())
    };
    let counts = origins.iter().map(count).collect::<Result<_>>()?;
    Ok((Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, true)])), counts))
}

/// Lines without line breaks, in batches. An empty line is a row with an empty text.
pub(super) struct Lines {
    source: Source,
    schema: SchemaRef,
    size: usize,
    line: String,
    finished: bool,
}

impl Lines {
    pub(super) fn new(origin: &Origin, schema: SchemaRef, size: usize, first: u64) -> Result<Self> {
        let mut source = origin.source()?;
        let mut line = String::new();
        while source.line_number() < first && source.line(&mut line)? {}
        Ok(Self { source, schema, size, line, finished: false })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts = StringBuilder::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.size && bytes < BATCH_BYTES && self.source.line(&mut self.line)? {
            let text = self.line.strip_suffix('\n').unwrap_or(&self.line);
            texts.append_value(text.strip_suffix('\r').unwrap_or(text));
            rows += 1;
            bytes += self.line.len();
        }
        if self.line.capacity() > 2 * BATCH_BYTES {
            self.line = String::new();
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
