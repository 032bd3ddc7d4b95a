//! Columns as text.

use anyhow::{Context, Result, anyhow};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, LargeStringArray, ListArray};
use arrow_schema::DataType;

/// A column as text, without copying its bytes where possible. `place` names a row, from 0, for messages.
///
/// # Errors
/// A column of another type, and bytes that are not UTF-8.
pub(crate) fn text_array(column: &dyn Array, place: &dyn Fn(usize) -> String) -> Result<LargeStringArray> {
    if !is_binary(column.data_type()) {
        let column = arrow_cast::cast(column, &DataType::LargeUtf8).context("a column is not text")?;
        return Ok(column.as_string::<i64>().clone());
    }
    let column = arrow_cast::cast(column, &DataType::LargeBinary).context("a column is not text")?;
    let bytes = column.as_binary::<i64>();
    LargeStringArray::try_from_binary(bytes.clone()).map_err(|_| {
        let wrong = bytes.iter().position(|bytes| bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_err()));
        anyhow!("{} is not UTF-8 text", place(wrong.unwrap_or(0)))
    })
}

/// A column of lists of text as offsets and texts: the texts of row `i` are those from `offsets[i]` to `offsets[i + 1]`.
///
/// # Errors
/// As [`text_array`].
pub(crate) fn text_lists(column: &dyn Array, place: &dyn Fn(usize) -> String) -> Result<(ListArray, LargeStringArray)> {
    let item = match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.clone(),
        other => return Err(anyhow!("a column has type {other} and not lists of text")),
    };
    let lists: ArrayRef = arrow_cast::cast(column, &DataType::List(item)).context("a column is not lists of text")?;
    let lists = lists.as_list::<i32>().clone();
    let texts = text_array(lists.values(), place)?;
    Ok((lists, texts))
}

/// Whether a type is a text type, in any encoding. The type of columns with only nulls is one, too.
pub(crate) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

/// Whether a type is that of bytes, which are text in files whose writer did not say so.
pub(crate) fn is_binary(kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_binary(values),
        _ => false,
    }
}

/// Whether a type is lists of text.
pub(crate) fn is_text_list(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_text(item.data_type()) || is_binary(item.data_type())
        }
        _ => false,
    }
}
