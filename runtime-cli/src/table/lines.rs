//! Plain text: one row per line.

use crate::data::source::Source;
use anyhow::Result;
use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// The name of the only column.
const COLUMN: &str = "text";

pub(super) fn scan(mut source: Source) -> Result<(SchemaRef, u64)> {
    let mut line = String::new();
    while source.line(&mut line)? {}
    Ok((Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, true)])), source.line_number()))
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
    pub(super) fn new(mut source: Source, schema: SchemaRef, size: usize, first: u64) -> Result<Self> {
        let mut line = String::new();
        while source.line_number() < first && source.line(&mut line)? {}
        Ok(Self { source, schema, size, line, finished: false })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts = StringBuilder::new();
        let mut rows = 0;
        while rows < self.size && self.source.line(&mut self.line)? {
            let text = self.line.strip_suffix('\n').unwrap_or(&self.line);
            texts.append_value(text.strip_suffix('\r').unwrap_or(text));
            rows += 1;
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
