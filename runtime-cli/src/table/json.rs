//! JSON Lines: one object per line.

use crate::data::source::{self, Source};
use anyhow::{Result, anyhow};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_json::reader::{Decoder, ReaderBuilder, infer_json_schema_from_iterator};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// Maximum bytes per batch of lines, unless a single line has more.
const BATCH_BYTES: usize = 8 << 20;

pub(super) fn scan(mut source: Source) -> Result<(SchemaRef, u64)> {
    let (mut line, mut rows, mut failed) = (String::new(), 0, None);
    let (mut seen, mut order) = (HashSet::new(), Vec::new());
    let mut object = || -> Result<Option<Value>> {
        let Some(value) = source.object(&mut line)? else { return Ok(None) };
        rows += 1;
        if value.as_object().is_some_and(|object| object.keys().any(|key| !seen.contains(key))) {
            for key in keys(&line)? {
                if seen.insert(key.clone()) {
                    order.push(key);
                }
            }
        }
        Ok(Some(value))
    };
    let values = std::iter::from_fn(|| {
        object()
            .unwrap_or_else(|e| {
                failed = Some(e);
                None
            })
            .map(Ok::<_, ArrowError>)
    });
    let inferred = infer_json_schema_from_iterator(values);
    if let Some(e) = failed {
        return Err(e);
    }
    let inferred = inferred.map_err(|e| anyhow!("{} does not fit the lines before it: {}", source.place(), reason(&e)))?;
    let fields: Vec<_> = order.iter().filter_map(|name| inferred.field_with_name(name).ok()).map(settled).collect();
    Ok((Arc::new(Schema::new(fields)), rows))
}

/// The names of an object's fields in their order, which a [`Value`] does not keep.
fn keys(line: &str) -> serde_json::Result<Vec<String>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde_json::Deserializer::from_str(line).deserialize_map(Keys)
}

/// An inferred field with its nested fields sorted by name (inference has no defined order), and with text as the type of
/// fields that are null in every line.
fn settled(field: &Field) -> Field {
    let inner = |field: &FieldRef| Arc::new(settled(field));
    let kind = match field.data_type() {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Struct(fields) => {
            let mut fields: Vec<_> = fields.iter().map(inner).collect();
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(fields.into())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(kind)
}

fn reason(e: &ArrowError) -> String {
    match e {
        ArrowError::JsonError(reason) => reason.clone(),
        e => e.to_string(),
    }
}

/// Objects in batches.
pub(super) struct Objects {
    source: Source,
    schema: SchemaRef,
    size: usize,
    line: String,
    finished: bool,
}

impl Objects {
    pub(super) fn new(source: Source, schema: SchemaRef, size: usize, first: u64) -> Result<Self> {
        let mut objects = Self { source, schema, size, line: String::new(), finished: false };
        for _ in 0..first {
            objects.source.filled_line(&mut objects.line)?;
        }
        Ok(objects)
    }

    fn decoder(&self) -> Result<Decoder> {
        Ok(ReaderBuilder::new(self.schema.clone()).with_batch_size(self.size).with_coerce_primitive(true).build_decoder()?)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut text = String::new();
        let mut numbers = Vec::new();
        while numbers.len() < self.size && text.len() < BATCH_BYTES && self.source.filled_line(&mut self.line)? {
            text.push_str(self.line.trim_end());
            text.push('\n');
            numbers.push(self.source.line_number());
        }
        if numbers.is_empty() {
            return Ok(None);
        }
        if self.schema.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
            return Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), Vec::new(), &options)?));
        }
        match decode(self.decoder()?, &text) {
            Ok(batch) => Ok(Some(batch)),
            Err(e) => Err(self.blame(&text, &numbers, &e)),
        }
    }

    /// The error of the first line of a batch that cannot be decoded.
    fn blame(&self, text: &str, numbers: &[u64], e: &ArrowError) -> anyhow::Error {
        for (line, &number) in text.lines().zip(numbers) {
            let place = source::place(number, self.source.path());
            let alone = source::json_object(line, &place)
                .and_then(|_| decode(self.decoder()?, line).map_err(|e| anyhow!("{place} does not fit the other lines: {}", reason(&e))));
            if let Err(e) = alone {
                return e;
            }
        }
        anyhow!("cannot read {}: {}", self.source.path().display(), reason(e))
    }
}

fn decode(mut decoder: Decoder, text: &str) -> Result<RecordBatch, ArrowError> {
    decoder.decode(text.as_bytes())?;
    decoder.flush()?.ok_or_else(|| ArrowError::JsonError("a line has no object".into()))
}

impl Iterator for Objects {
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
