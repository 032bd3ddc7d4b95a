//! JSON Lines output: the objects of the input, with the embedding as their last field.

use super::pieces::Piece;
use super::rows::{self, PLACE, Stored};
use super::{Job, WRITTEN, Watch, changed};
use crate::data::surrogates;
use crate::table::{Entries, extended};
use anyhow::{Context, Result, anyhow};
use arrow_array::RecordBatch;
use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use arrow_schema::Schema;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

pub(super) fn write(job: &Job<'_>, stored: &mut Stored, out: &mut impl Write, watch: &mut impl Watch) -> Result<bool> {
    let mut line = |object: String, vector: Vec<f32>| -> Result<()> {
        let json = if vector.iter().all(|x| x.is_nan()) { "null".into() } else { job.numbers.convert(job.dim, vector)?.json() };
        writeln!(out, "{}", extended(object, &[(job.column.to_owned(), json)])?).map_err(job.cannot())
    };
    let Some(objects) = job.input.json_objects()? else {
        let schema = Arc::new(Schema::new(rows::fields(job)));
        return rows::each(job, stored, |columns, vectors, row| {
            if watch.stop() {
                return Ok(false);
            }
            let objects = lines(&RecordBatch::try_new(schema.clone(), columns)?)?;
            objects.into_iter().zip(vectors.chunks(job.dim)).try_for_each(|(object, vector)| line(object, vector.to_vec()))?;
            watch.written(row);
            Ok(true)
        });
    };
    // Objects of a JSON input are copied, so that their numbers do not change.
    let mut row = 0;
    for object in objects {
        if row % WRITTEN as u64 == 0 && watch.stop() {
            return Ok(false);
        }
        let object = object?;
        row += 1;
        watch.written(row);
        if !job.several() {
            line(object, stored.vectors(1)?)?;
            continue;
        }
        loop {
            let pieces = stored.pieces(row, WRITTEN)?;
            if pieces.is_empty() {
                break;
            }
            for piece in pieces {
                line(with_piece(job, &object, &piece)?, stored.vectors(1)?)?;
            }
        }
    }
    if row != job.input.rows() {
        return Err(changed(job, row));
    }
    Ok(true)
}

/// Rows as JSON objects.
pub(super) fn lines(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(|e| anyhow!("a column cannot be written as JSON: {e}"))?;
    Ok(String::from_utf8(writer.into_inner())?.lines().map(str::to_owned).collect())
}

/// An object with a piece in place of its text, and the place of the piece.
fn with_piece(job: &Job<'_>, object: &str, piece: &Piece) -> Result<String> {
    let context = || format!("{} has changed while it was read", job.input.place(piece.row));
    let Entries(entries) = serde_json::from_str(object).with_context(context)?;
    let name = job.input.schema().field(job.text).name();
    let mut fields: Vec<String> = Vec::new();
    let mut found = false;
    for (key, value) in &entries {
        let value = if key == name {
            found = true;
            Cow::Owned(text_of(value.get(), piece).with_context(context)?)
        } else {
            Cow::Borrowed(value.get())
        };
        fields.push(format!("{}:{value}", Value::from(key.as_str())));
    }
    if !found {
        fields.push(format!("{}:null", Value::from(name.as_str())));
    }
    fields.extend(PLACE.iter().zip(rows::place(piece)).map(|(name, n)| format!("\"{name}\":{n}")));
    Ok(format!("{{{}}}", fields.join(",")))
}

/// The text of a piece as JSON.
fn text_of(json: &str, piece: &Piece) -> Result<String> {
    let mut json = json.to_owned();
    surrogates::replace_lone(&mut json);
    let value: Value = serde_json::from_str(&json)?;
    let item = match value {
        Value::Array(items) => items.into_iter().nth(piece.item as usize),
        Value::String(_) | Value::Null => Some(value),
        // A number or truth value in a column of text is its JSON.
        _ => Some(Value::from(json)),
    };
    let text = match item {
        None | Some(Value::Null) => return Ok("null".into()),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    Ok(Value::from(text.get(piece.range()).context("a text is shorter than before")?).to_string())
}
