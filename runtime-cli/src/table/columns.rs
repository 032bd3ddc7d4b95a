//! Columns by name and type, and their values as text or numbers.

use super::texts::{is_binary, is_text, is_text_list, text_array};
use super::{Format, Table, listed, parquet, parts};
use anyhow::{Context, Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, LargeStringArray};
use arrow_schema::DataType;

impl Table {
    /// The index of a column.
    ///
    /// # Errors
    /// An unknown column; the message lists the columns.
    pub fn column(&self, name: &str) -> Result<usize> {
        match self.columns().position(|column| column == name) {
            Some(index) => Ok(index),
            None => bail!("{} has no column \"{name}\"; it has {}", self.name(), listed(self.columns())),
        }
    }

    /// The index of a text column. Every column of CSV and TSV is one, and every column of bytes.
    ///
    /// # Errors
    /// As [`column`](Self::column), and a column of another type.
    pub fn text_column(&self, name: &str) -> Result<usize> {
        let index = self.column(name)?;
        self.require_types(&[index])?;
        let kind = self.schema.field(index).data_type();
        if !is_text(kind) && !is_binary(kind) && !self.is_separated() {
            let text = self.schema.fields().iter().filter(|field| is_text(field.data_type())).map(|field| field.name().as_str());
            bail!("column \"{name}\" of {} has type {kind}, not text; the text columns are {}", self.name(), listed(text));
        }
        Ok(index)
    }

    /// The index of a column of text or of lists of text.
    ///
    /// # Errors
    /// As [`text_column`](Self::text_column).
    pub fn passage_column(&self, name: &str) -> Result<usize> {
        let index = self.column(name)?;
        let lists = is_text_list(self.schema.field(index).data_type()) && self.require_types(&[index]).is_ok();
        if lists { Ok(index) } else { self.text_column(name) }
    }

    /// The numbers of a column, each as the nearest f64.
    ///
    /// # Errors
    /// As [`batches`](Self::batches), and a row without a number.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let mut all: Vec<f64> = Vec::new();
        for batch in self.batches(&[self.column(name)?], 4096, 0)? {
            let numbers = arrow_cast::cast(batch?.column(0), &DataType::Float64)
                .with_context(|| format!("column \"{name}\" of {} is not numbers", self.name()))?;
            for number in numbers.as_primitive::<Float64Type>() {
                let Some(number) = number.filter(|number| number.is_finite()) else {
                    bail!("{} has no number in column \"{name}\"", self.place(all.len() as u64));
                };
                all.push(number);
            }
        }
        Ok(all)
    }

    /// Whether the first record is taken for the names of the columns.
    pub(crate) fn has_header(&self) -> bool {
        self.is_separated() && self.dialect.header
    }

    /// Names of the columns that are text by their type.
    pub(crate) fn text_columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.schema.fields().iter().enumerate();
        fields.filter(|(i, field)| is_text(field.data_type()) && !self.conflicts.contains_key(i)).map(|(_, field)| field.name().as_str())
    }

    /// Refuses columns whose values cannot be read without change.
    ///
    /// # Errors
    /// A column whose values have no common type, intervals, and a timestamp beyond those that can be read, with line or row.
    pub(crate) fn require_exact(&self, columns: &[usize]) -> Result<()> {
        self.require_types(columns)?;
        if self.format == Format::Parquet {
            for part in &self.parts {
                parquet::require_no_intervals(&part.origin, columns)?;
                parquet::require_exact_timestamps(&part.origin, columns)?;
            }
        }
        Ok(())
    }

    /// Reads a column of CSV or TSV as text, whatever its cells look like. Columns of other files keep their type.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn read_as_text(&mut self, column: usize) {
        if self.is_separated() {
            self.schema = parts::retyped(&self.schema, &[column], &DataType::Utf8);
        }
    }

    /// Batches of at most `size` rows of text columns: for each batch the columns in the given order, each with a text or null
    /// for every row.
    ///
    /// # Errors
    /// As [`text_column`](Self::text_column) and [`batches`](Self::batches).
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn texts(&self, columns: &[&str], size: usize) -> Result<impl Iterator<Item = Result<Vec<Vec<Option<String>>>>> + Send + use<>> {
        let columns = columns.iter().map(|name| self.text_column(name)).collect::<Result<Vec<_>>>()?;
        let schema = if self.is_separated() { parts::retyped(&self.schema, &columns, &DataType::Utf8) } else { self.schema.clone() };
        let path = self.path().to_owned();
        let mut row = 0;
        Ok(self.batches_as(schema, &columns, size, 0)?.map(move |batch| {
            let batch = batch?;
            let place = |i: usize| format!("row {} of {}", row + i + 1, path.display());
            let texts = batch.columns().iter().map(|column| owned(&text_array(column, &place)?)).collect();
            row += batch.num_rows();
            texts
        }))
    }
}

fn owned(column: &LargeStringArray) -> Result<Vec<Option<String>>> {
    Ok(column.iter().map(|text| text.map(str::to_owned)).collect())
}

/// The texts of a text column: a text or null for each row.
///
/// # Errors
/// A column of another type.
pub fn texts(column: &dyn Array) -> Result<Vec<Option<String>>> {
    owned(&text_array(column, &|row| format!("row {}", row + 1)).context("a column is not text")?)
}
