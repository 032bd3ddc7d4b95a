//! Whether every column of the input can be written to the output without change, before anything is computed.

use super::rows::PLACE;
use super::{Format, Job, WRITTEN, jsonl, parquet};
use crate::table::is_binary;
use anyhow::{Result, anyhow, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

/// Refuses a job whose output could not have all columns of the input unchanged.
///
/// # Errors
/// A column whose values have no common type (Parquet), that the format cannot store, or that has the name of one that is added.
pub fn check(job: &Job<'_>) -> Result<()> {
    if job.output.format() == Format::Npy {
        return Ok(());
    }
    let fields = job.input.schema().fields();
    if fields.iter().any(|field| field.name() == job.column) {
        bail!("{} already has a column \"{}\": give another name with --column", job.input.name(), job.column);
    }
    let added = PLACE.iter().find(|name| job.several() && fields.iter().any(|field| field.name() == *name));
    if let Some(name) = added {
        bail!("{} already has a column \"{name}\", which the output adds: rename it", job.input.name());
    }
    if job.several() && PLACE.contains(&job.column) {
        bail!("--column {} is a column that the output has already: give another name", job.column);
    }
    let all: Vec<_> = (0..fields.len()).collect();
    match job.output.format() {
        Format::Npy => Ok(()),
        Format::Parquet => {
            job.input.require_types(&all).map_err(|e| anyhow!("{e}; write .jsonl, or correct the input"))?;
            job.input.require_exact(&all)?;
            parquet::check(job)
        }
        Format::Jsonl if job.input.json_objects()?.is_some() => Ok(()),
        Format::Jsonl => {
            job.input.require_exact(&all)?;
            json(job)
        }
    }
}

/// Refuses what JSON has no form for.
fn json(job: &Job<'_>) -> Result<()> {
    let fields = job.input.schema().fields();
    let cannot = |field: &Field, why: &str| {
        anyhow!("column \"{}\" of {} has type {}, {why}: write .parquet", field.name(), job.input.name(), field.data_type())
    };
    let mut suspects = Vec::new();
    for (i, field) in fields.iter().enumerate().filter(|(i, _)| *i != job.text) {
        if contains(field.data_type(), &|kind| is_binary(kind) || matches!(kind, DataType::FixedSizeBinary(_))) {
            return Err(cannot(field, "for which JSON has no form"));
        }
        let schema = Arc::new(Schema::new(vec![field.as_ref().clone().with_nullable(true)]));
        let row = RecordBatch::try_new(schema, vec![new_null_array(field.data_type(), 1)])?;
        jsonl::lines(&row).map_err(|e| cannot(field, &format!("for which JSON has no form ({e})")))?;
        if contains(field.data_type(), &|kind| kind.is_floating() || kind.is_temporal()) {
            suspects.push(i);
        }
    }
    if suspects.is_empty() {
        return Ok(());
    }
    let mut row = 0;
    for batch in job.input.batches(&suspects, 8 * WRITTEN, 0)? {
        let batch = batch?;
        for (column, &i) in batch.columns().iter().zip(&suspects) {
            let near = || format!("from {} on", job.input.place(row));
            if has_non_finite(column) {
                return Err(cannot(&fields[i], &format!("and {} a number that is not finite, which JSON has not", near())));
            }
            if contains(fields[i].data_type(), &DataType::is_temporal) {
                let schema = Arc::new(Schema::new(vec![fields[i].clone()]));
                let lines = jsonl::lines(&RecordBatch::try_new(schema, vec![column.clone()])?)?;
                if lines.iter().any(|line| line.contains("\"ERROR: ")) {
                    return Err(cannot(&fields[i], &format!("and {} a date beyond those of ISO 8601", near())));
                }
            }
        }
        row += batch.num_rows() as u64;
    }
    Ok(())
}

/// Whether a type is, or has inside, one for which `is` holds.
fn contains(kind: &DataType, is: &dyn Fn(&DataType) -> bool) -> bool {
    is(kind)
        || match kind {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
                contains(item.data_type(), is)
            }
            DataType::Struct(fields) => fields.iter().any(|field| contains(field.data_type(), is)),
            DataType::Dictionary(_, values) => contains(values, is),
            DataType::RunEndEncoded(_, values) => contains(values.data_type(), is),
            _ => false,
        }
}

/// Whether a number anywhere in a column is NaN or infinite.
fn has_non_finite(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Float16 => column.as_primitive::<Float16Type>().iter().flatten().any(|x| !x.is_finite()),
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().any(|x| !x.is_finite()),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().flatten().any(|x| !x.is_finite()),
        DataType::List(_) => has_non_finite(column.as_list::<i32>().values()),
        DataType::LargeList(_) => has_non_finite(column.as_list::<i64>().values()),
        DataType::FixedSizeList(_, _) => has_non_finite(column.as_fixed_size_list().values()),
        DataType::Struct(_) => column.as_struct().columns().iter().any(|column| has_non_finite(column)),
        DataType::Map(_, _) => column.as_map().entries().columns().iter().any(|column| has_non_finite(column)),
        DataType::Dictionary(_, _) => has_non_finite(column.as_any_dictionary().values()),
        _ => false,
    }
}
