//! Parquet output: the columns of the input and the embeddings.

use super::rows::{self, Stored};
use super::{Job, Watch};
use anyhow::{Result, anyhow};
use arrow_array::{FixedSizeListArray, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::io::{self, Write};
use std::sync::Arc;

/// Bytes per row group, which is buffered in memory.
const GROUP_BYTES: usize = 32 << 20;

/// The schema of the output.
fn schema(job: &Job<'_>) -> Result<SchemaRef> {
    let width = job.numbers.width(job.dim);
    let width = i32::try_from(width).map_err(|_| anyhow!("embeddings with {width} elements are too long for Parquet"))?;
    let item = Arc::new(Field::new("element", job.numbers.kind(), true));
    let mut fields = rows::fields(job);
    fields.push(Arc::new(Field::new(job.column, DataType::FixedSizeList(item, width), true)));
    Ok(Arc::new(Schema::new_with_metadata(fields, job.input.schema().metadata().clone())))
}

/// Refuses columns that Parquet cannot store.
///
/// # Errors
/// Such a column.
pub(super) fn check(job: &Job<'_>) -> Result<()> {
    let schema = schema(job)?;
    for field in schema.fields() {
        let alone = Arc::new(Schema::new(vec![field.clone()]));
        ArrowWriter::try_new(io::sink(), alone, None).map_err(|e| {
            anyhow!("column \"{}\" has type {}, which Parquet cannot store ({e}): write .jsonl", field.name(), field.data_type())
        })?;
    }
    Ok(())
}

pub(super) fn write(job: &Job<'_>, stored: &mut Stored, out: &mut (impl Write + Send), watch: &mut impl Watch) -> Result<bool> {
    let schema = schema(job)?;
    let DataType::FixedSizeList(item, width) = schema.field(schema.fields().len() - 1).data_type().clone() else {
        unreachable!("the type of embeddings")
    };
    let cannot = |e: ParquetError| match e {
        ParquetError::External(e) => match e.downcast::<io::Error>() {
            Ok(e) => job.output.cannot(*e),
            Err(e) => anyhow!("cannot write {}: {e}", job.output.path().display()),
        },
        e => anyhow!("cannot write {}: {e}", job.output.path().display()),
    };
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(job.column, &schema))).map_err(cannot)?;
    let done = rows::each(job, stored, |mut columns, vectors, row| {
        if watch.stop() {
            return Ok(false);
        }
        let present: NullBuffer = vectors.chunks(job.dim).map(|vector| !vector.iter().all(|x| x.is_nan())).collect();
        let numbers = job.numbers.convert(job.dim, vectors)?.into_array();
        columns.push(Arc::new(FixedSizeListArray::try_new(item.clone(), width, numbers, Some(present))?));
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?).map_err(cannot)?;
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush().map_err(cannot)?;
        }
        watch.written(row);
        Ok(true)
    })?;
    if done {
        writer.close().map_err(cannot)?;
    }
    Ok(done)
}

/// Elements of embeddings are stored plain: compression, dictionary and statistics do not help. Without `coerce_types` the crate
/// writes dates in milliseconds as integers; with it, it renames the elements of lists, so it is on only where there are such dates.
fn properties(column: &str, schema: &Schema) -> WriterProperties {
    let dates = schema.flattened_fields().iter().any(|field| *field.data_type() == DataType::Date64);
    let numbers = ColumnPath::new([column, "list", "element"].map(str::to_owned).to_vec());
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_compression(numbers.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(numbers.clone(), false)
        .set_column_statistics_enabled(numbers, EnabledStatistics::None)
        .set_coerce_types(dates)
        .build()
}
