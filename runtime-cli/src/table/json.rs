//! JSON Lines, and arrays of objects.

use super::elements::Elements;
use super::entries::Entries;
use super::infer::Fields;
use super::origin::Origin;
use super::{BATCH_BYTES, Format};
use crate::data::{source, surrogates};
use anyhow::{Result, anyhow, bail};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_json::reader::{Decoder, ReaderBuilder};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, SchemaRef};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Columns of all files, rows of each, and for each column whose values have no common type the reason.
pub(super) type Scan = (SchemaRef, Vec<u64>, BTreeMap<usize, String>);

pub(super) fn elements(origin: &Origin, format: Format) -> Result<Elements> {
    let source = origin.source()?;
    Ok(if format == Format::Json { Elements::array(source) } else { Elements::lines(source) })
}

pub(super) fn scan(origins: &[Origin], format: Format) -> Result<Scan> {
    let mut fields = Fields::default();
    let mut counts = Vec::new();
    for origin in origins {
        let (mut elements, mut object) = (elements(origin, format)?, String::new());
        let mut rows = 0;
        while elements.read(&mut object)? {
            surrogates::replace_lone(&mut object);
            let place = || elements.place();
            parse(&object, &place).and_then(|entries| fields.add(&entries, "", &place).map_err(|e| invalid(&e, &place())))?;
            rows += 1;
            if object.capacity() > 2 * BATCH_BYTES {
                object = String::new();
            }
        }
        counts.push(rows);
    }
    let mut conflicts = BTreeMap::new();
    let mut columns = Vec::new();
    for (i, (name, kind)) in fields.all.into_iter().enumerate() {
        let (field, conflict) = kind.settled(&name);
        columns.push(field);
        if let Some(conflict) = conflict {
            let reason = format!(
                "{} has {} in \"{}\", where the lines before it have {}",
                conflict.place, conflict.found, conflict.path, conflict.before
            );
            conflicts.insert(i, reason);
        }
    }
    Ok((Arc::new(Schema::new(columns)), counts, conflicts))
}

/// The objects of a file, each on one line, with these keys as further fields.
pub(super) fn objects(
    origin: &Origin,
    format: Format,
    fields: Vec<FieldRef>,
    keys: Vec<Option<String>>,
) -> Box<dyn Iterator<Item = Result<String>> + Send> {
    let mut elements = match elements(origin, format) {
        Ok(elements) => elements,
        Err(e) => return Box::new(std::iter::once(Err(e))),
    };
    let value = |(field, key): (&FieldRef, Option<String>)| match key {
        None => (field.name().clone(), "null".to_owned()),
        Some(key) if *field.data_type() == DataType::Utf8 => (field.name().clone(), Value::from(key).to_string()),
        Some(key) => (field.name().clone(), key),
    };
    let keys: Vec<(String, String)> = fields.iter().zip(keys).map(value).collect();
    Box::new(std::iter::from_fn(move || {
        let mut object = String::new();
        match elements.read(&mut object) {
            Ok(true) => Some(extended(object, &keys)),
            Ok(false) => None,
            Err(e) => Some(Err(e)),
        }
    }))
}

/// An object with further fields, whose values are JSON.
pub(crate) fn extended(mut object: String, fields: &[(String, String)]) -> Result<String> {
    for (name, value) in fields {
        let Some(open) = object.trim_end().strip_suffix('}') else { bail!("a row has changed while it was read: it is no object") };
        object.truncate(open.trim_end().len());
        let comma = if object.ends_with('{') { "" } else { "," };
        object.extend([comma, &Value::from(name.as_str()).to_string(), ":", value, "}"]);
    }
    Ok(object)
}

/// The fields of an object.
fn parse<'a>(object: &'a str, place: &dyn Fn() -> String) -> Result<Entries<'a>> {
    serde_json::from_str(object).map_err(|e| {
        if object.starts_with('{') {
            invalid(&e, &place())
        } else {
            anyhow!("{} is not a JSON object; JSON Lines have one object per line, and an array needs --format json", place())
        }
    })
}

fn invalid(e: &serde_json::Error, place: &str) -> anyhow::Error {
    let reason = e.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(&reason[..], |(reason, _)| reason);
    anyhow!("{place} is not JSON: {reason}, at its byte {}", e.column())
}

/// Objects in batches.
pub(super) struct Objects {
    elements: Elements,
    schema: SchemaRef,
    size: usize,
    object: String,
    finished: bool,
    shown: std::path::PathBuf,
}

impl Objects {
    pub(super) fn new(origin: &Origin, format: Format, schema: SchemaRef, size: usize, first: u64) -> Result<Self> {
        let mut elements = elements(origin, format)?;
        let mut object = String::new();
        for _ in 0..first {
            elements.read(&mut object)?;
        }
        Ok(Self { elements, schema, size, object, finished: false, shown: origin.shown().to_owned() })
    }

    fn decoder(&self) -> Result<Decoder> {
        Ok(ReaderBuilder::new(self.schema.clone()).with_batch_size(self.size).with_coerce_primitive(true).build_decoder()?)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut text = String::new();
        let mut numbers = Vec::new();
        while numbers.len() < self.size && text.len() < BATCH_BYTES && self.elements.read(&mut self.object)? {
            surrogates::replace_lone(&mut self.object);
            // A long line is moved and not copied.
            if text.is_empty() && self.object.len() > BATCH_BYTES {
                text = std::mem::take(&mut self.object);
            } else {
                text.push_str(&self.object);
            }
            text.push('\n');
            numbers.push(self.elements.line_number());
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
        let path: &Path = &self.shown;
        for (line, &number) in text.lines().zip(numbers) {
            let place = source::place(number, path);
            let alone = parse(line, &|| place.clone())
                .and_then(|_| decode(self.decoder()?, line).map_err(|e| anyhow!("{place} does not fit the other lines: {}", reason(&e))));
            if let Err(e) = alone {
                return e;
            }
        }
        anyhow!("cannot read {}: {}", path.display(), reason(e))
    }
}

fn reason(e: &ArrowError) -> String {
    match e {
        ArrowError::JsonError(reason) => reason.clone(),
        e => e.to_string(),
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
