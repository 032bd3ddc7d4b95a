//! JSON Lines output: the objects of the input, with the embedding as their last field.

use super::{Job, Stored, WRITTEN, Watch};
use crate::files;
use anyhow::{Result, anyhow, bail};
use arrow_array::RecordBatch;
use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use std::io::{self, Write};

pub(super) fn write(job: &Job<'_>, vectors: &mut Stored, out: &mut impl Write, watch: &mut impl Watch) -> Result<bool> {
    let cannot = |e: io::Error| anyhow!("cannot write {}: {}", job.output.display(), files::remedy(&e));
    let name = serde_json::to_string(job.column)?;
    let mut written = 0;
    for object in objects(job)? {
        if written % WRITTEN as u64 == 0 && watch.stop() {
            return Ok(false);
        }
        let object = object?;
        let Some(open) = object.trim_end().strip_suffix('}').map(str::trim_end) else {
            bail!("row {} of {} is not an object", written + 1, job.input.path().display());
        };
        let comma = if open.ends_with('{') { "" } else { "," };
        writeln!(out, "{open}{comma}{name}:{}", list(&vectors.next(1)?)).map_err(cannot)?;
        written += 1;
        watch.written(written);
    }
    if written != job.input.rows() {
        bail!("{} has changed: it had {} rows, and now {written}", job.input.path().display(), job.input.rows());
    }
    Ok(true)
}

/// The rows as objects. Lines of a JSON input are copied, so that their numbers do not change.
fn objects(job: &Job<'_>) -> Result<Box<dyn Iterator<Item = Result<String>>>> {
    if let Some(lines) = job.input.json_lines()? {
        return Ok(Box::new(lines));
    }
    let columns: Vec<_> = (0..job.input.schema().fields().len()).collect();
    let batches = job.input.batches(&columns, WRITTEN, 0)?;
    Ok(Box::new(batches.flat_map(|batch| match batch.and_then(|batch| lines(&batch)) {
        Ok(lines) => lines.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(e) => vec![Err(e)],
    })))
}

fn lines(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(|e| anyhow!("a column cannot be written as JSON: {e}"))?;
    Ok(String::from_utf8(writer.into_inner())?.lines().map(str::to_owned).collect())
}

/// A vector and the closing brace of its object. Each element has the shortest decimal form that identifies its f32.
fn list(vector: &[f32]) -> String {
    if vector.iter().all(|x| x.is_nan()) {
        return "null}".into();
    }
    let numbers: Vec<_> = vector.iter().map(f32::to_string).collect();
    format!("[{}]}}", numbers.join(","))
}
