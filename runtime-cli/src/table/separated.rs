//! CSV and TSV: records of delimited text, under a header.

use super::cells::{Cells, Dialect, Record};
use super::numbers::{Numbers, is_canonical};
use super::origin::Origin;
use super::{BATCH_BYTES, listed};
use anyhow::{Context, Result, bail};
use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::CastOptions;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::HashSet;
use std::sync::Arc;

/// Columns of all files, and rows of each.
pub(super) fn scan(origins: &[Origin], dialect: Dialect) -> Result<(SchemaRef, Vec<u64>)> {
    let mut names: Option<Vec<String>> = None;
    let mut kinds: Vec<Column> = Vec::new();
    let mut counts = Vec::new();
    for origin in origins {
        let (mut cells, mut record) = (Cells::new(origin.source()?, dialect), Record::default());
        if !cells.read(&mut record)? {
            bail!("{} has no records", origin.shown().display());
        }
        let found = column_names(&record, dialect, origin)?;
        let mut rows = 0;
        let expected = found.len();
        match &names {
            Some(names) if *names != found => bail!(
                "{} has the columns {} where {} has {}: files of one table have the same columns",
                origin.shown().display(),
                listed(found.iter().map(String::as_str)),
                origins[0].shown().display(),
                listed(names.iter().map(String::as_str))
            ),
            Some(_) => {}
            None => {
                kinds = found.iter().map(|_| Column::default()).collect();
                names = Some(found);
            }
        }
        let mut more = !dialect.header || cells.row(&mut record, expected)?;
        while more {
            kinds.iter_mut().enumerate().for_each(|(i, column)| column.add(record.cell(i), record.is_quoted(i)));
            rows += 1;
            more = cells.row(&mut record, expected)?;
        }
        counts.push(rows);
    }
    let fields = names.unwrap_or_default().into_iter().zip(kinds).map(|(name, column)| Field::new(name, column.kind(), true));
    Ok((Arc::new(Schema::new(fields.collect::<Vec<_>>())), counts))
}

/// Names of the columns: those of the header. A column without a name is called after its position.
fn column_names(header: &Record, dialect: Dialect, origin: &Origin) -> Result<Vec<String>> {
    let given: Vec<&str> = (0..header.len()).map(|i| if dialect.header { header.cell(i).unwrap_or("") } else { "" }).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = given.iter().find(|&&name| !name.is_empty() && !seen.insert(name)) {
        bail!("{} has two columns named \"{twice}\"; rename one", origin.shown().display());
    }
    let name = |(i, name): (usize, &&str)| match *name {
        "" => {
            let mut name = format!("column_{}", i + 1);
            while seen.contains(name.as_str()) {
                name.push('_');
            }
            name
        }
        name => name.to_owned(),
    };
    Ok(given.iter().enumerate().map(name).collect())
}

/// What is known of the cells of a column.
#[derive(Default)]
struct Column {
    numbers: Numbers,
    found_numbers: bool,
    found_truths: bool,
    /// Whether a cell is neither a number nor a truth value, or is quoted.
    text: bool,
}

impl Column {
    fn add(&mut self, cell: Option<&str>, quoted: bool) {
        match cell {
            None => {}
            Some(_) if self.text => {}
            Some(_) if quoted => self.text = true,
            Some("true" | "false") => self.found_truths = true,
            Some(cell) if is_canonical(cell) => {
                self.found_numbers = true;
                self.numbers.add(cell);
            }
            Some(_) => self.text = true,
        }
    }

    /// The type of the column: text, unless the text of every cell can be restored from another type.
    fn kind(&self) -> DataType {
        match (self.text, self.found_numbers, self.found_truths) {
            (false, true, false) => self.numbers.native().unwrap_or(DataType::Utf8),
            (false, false, true) => DataType::Boolean,
            _ => DataType::Utf8,
        }
    }
}

/// The type of a column of these cells.
pub(super) fn kind_of<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> DataType {
    let mut column = Column::default();
    cells.for_each(|cell| column.add(cell, false));
    column.kind()
}

/// Records in batches.
pub(super) struct Records {
    cells: Cells,
    schema: SchemaRef,
    columns: Vec<usize>,
    /// Number of columns of the file.
    width: usize,
    size: usize,
    record: Record,
    finished: bool,
}

impl Records {
    /// `schema` has the types of `columns`, of the `width` columns of the file.
    pub(super) fn new(
        origin: &Origin,
        dialect: Dialect,
        schema: SchemaRef,
        columns: &[usize],
        width: usize,
        size: usize,
        first: u64,
    ) -> Result<Self> {
        let (mut cells, mut record) = (Cells::new(origin.source()?, dialect), Record::default());
        for _ in 0..first + u64::from(dialect.header) {
            cells.row(&mut record, width)?;
        }
        Ok(Self { cells, schema, columns: columns.to_vec(), width, size, record, finished: false })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut texts: Vec<_> = self.columns.iter().map(|_| StringBuilder::new()).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.size && bytes < BATCH_BYTES && self.cells.row(&mut self.record, self.width)? {
            for (texts, &column) in texts.iter_mut().zip(&self.columns) {
                let cell = self.record.cell(column);
                bytes += cell.map_or(0, str::len);
                texts.append_option(cell);
            }
            rows += 1;
        }
        if self.record.bytes() > BATCH_BYTES {
            self.record = Record::default();
        }
        let columns: Vec<_> =
            texts.iter_mut().zip(self.schema.fields()).map(|(texts, field)| typed(&texts.finish(), field)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok((rows > 0).then_some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}

/// The cells in the type of their column.
fn typed(texts: &dyn Array, field: &Field) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    arrow_cast::cast_with_options(texts, field.data_type(), &options)
        .with_context(|| format!("column \"{}\" has changed while it was read", field.name()))
}

impl Iterator for Records {
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
