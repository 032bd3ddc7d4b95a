//! Parquet output: the columns of the input and the embeddings.

use super::{Job, Stored, WRITTEN, Watch};
use anyhow::{Result, anyhow, bail};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::io::Write;
use std::sync::Arc;

/// Bytes per row group, which is buffered in memory.
const GROUP_BYTES: usize = 32 << 20;

pub(super) fn write(job: &Job<'_>, vectors: &mut Stored, out: &mut (impl Write + Send), watch: &mut impl Watch) -> Result<bool> {
    let dim = i32::try_from(job.dim).map_err(|_| anyhow!("embeddings with {} dimensions are too long for Parquet", job.dim))?;
    let item = Arc::new(Field::new("element", DataType::Float32, true));
    let kind = DataType::FixedSizeList(item.clone(), dim);
    let input = job.input.schema();
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new(job.column, kind, true)));
    let schema = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
    let cannot = |e| anyhow!("cannot write {}: {e}", job.output.display());
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(job.column))).map_err(cannot)?;
    let columns: Vec<_> = (0..input.fields().len()).collect();
    let mut written = 0;
    for batch in job.input.batches(&columns, WRITTEN, 0)? {
        if watch.stop() {
            return Ok(false);
        }
        let batch = batch?;
        let numbers = vectors.next(batch.num_rows())?;
        let present: NullBuffer = numbers.chunks(job.dim).map(|vector| !vector.iter().all(|x| x.is_nan())).collect();
        let column = FixedSizeListArray::try_new(item.clone(), dim, Arc::new(Float32Array::from(numbers)), Some(present))?;
        let mut all: Vec<ArrayRef> = batch.columns().to_vec();
        all.push(Arc::new(column));
        writer.write(&RecordBatch::try_new(schema.clone(), all)?).map_err(cannot)?;
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush().map_err(cannot)?;
        }
        written += batch.num_rows() as u64;
        watch.written(written);
    }
    if written != job.input.rows() {
        bail!("{} has changed: it had {} rows, and now {written}", job.input.path().display(), job.input.rows());
    }
    writer.close().map_err(cannot)?;
    Ok(true)
}

/// Elements of embeddings are stored plain: compression, dictionary and statistics do not help.
fn properties(column: &str) -> WriterProperties {
    let numbers = ColumnPath::new([column, "list", "element"].map(str::to_owned).to_vec());
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_compression(numbers.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(numbers.clone(), false)
        .set_column_statistics_enabled(numbers, EnabledStatistics::None)
        .build()
}
