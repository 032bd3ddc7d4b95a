//! Texts from whatever Python holds them in.

use crate::{
    arrow,
    errors::{input, wrong_type},
};
use arrow_array::{Array, ArrayRef, LargeStringArray, builder::LargeStringBuilder, cast::AsArray};
use arrow_schema::DataType;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyFloat, PyFrozenSet, PyMapping, PySet, PyString},
};
use std::ops::Range;

/// Texts, of which some may be missing, in pieces of any length.
pub(crate) struct Texts(Vec<LargeStringArray>);

impl Texts {
    /// The texts of an Arrow array or stream, of a numpy array or a Series, or of any other iterable of `str`. `None`, and in
    /// arrays and Series NaN and `pandas.NA`, is a missing text.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
            return Err(wrong_type(format!("the texts are one {}: give a list of texts, as [text]", type_name(object)?)));
        }
        // pandas needs pyarrow for the interface, and cannot say all that a column of objects may hold.
        if !is_of(object, "pandas")?
            && let Some(arrays) = arrow::arrays(object)?
        {
            return Ok(Self(arrays.iter().map(text).collect::<PyResult<_>>()?));
        }
        if object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>() {
            return Err(wrong_type(format!("the texts are a {}, which has no order of its own: give a list", type_name(object)?)));
        }
        if object.hasattr("ndim")? && object.getattr("ndim")?.extract::<usize>()? != 1 {
            return Err(wrong_type(format!("the texts are a {} of more than one dimension: give one column", type_name(object)?)));
        }
        let listed = if object.hasattr("tolist")? { object.call_method0("tolist")? } else { object.clone() };
        if !listed.hasattr("__iter__")? || listed.cast::<PyMapping>().is_ok() {
            return Err(wrong_type(format!("the texts are a {}: give a list of texts", type_name(object)?)));
        }
        let mut texts = LargeStringBuilder::new();
        for (i, item) in listed.try_iter()?.enumerate() {
            let item = item?;
            match item.cast::<PyString>() {
                Ok(text) => texts.append_value(text.to_str().map_err(|_| surrogate(i))?),
                Err(_) if is_missing(&item)? => texts.append_null(),
                Err(_) => return Err(wrong_type(format!("text {i} (counted from 0) is a {}: give a str", type_name(&item)?))),
            }
        }
        Ok(Self(vec![texts.finish()]))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Array::len).sum()
    }

    /// Some of them in order; `None` for a missing one.
    pub(crate) fn range(&self, range: Range<usize>) -> Vec<Option<&str>> {
        let (mut texts, mut first) = (Vec::with_capacity(range.len()), 0);
        for piece in &self.0 {
            let within = |i: usize| i.clamp(first, first + piece.len()) - first;
            texts.extend((within(range.start)..within(range.end)).map(|i| piece.is_valid(i).then(|| piece.value(i))));
            first += piece.len();
        }
        texts
    }

    /// All of them in order; `None` for a missing one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.iter().flat_map(LargeStringArray::iter)
    }
}

/// A str in Python may have half a surrogate pair, which no UTF-8 has.
fn surrogate(text: usize) -> PyErr {
    input(format!(
        "text {text} (counted from 0) has half a surrogate pair and is no Unicode text: replace it, as with text.encode(\"utf-16\", \
         \"surrogatepass\").decode(\"utf-16\", \"replace\")"
    ))
}

/// An array of text, in one of Arrow's layouts for it.
fn text(array: &ArrayRef) -> PyResult<LargeStringArray> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().clone(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        DataType::Null => vec![None::<&str>; array.len()].into_iter().collect(),
        DataType::Dictionary(_, of) if matches!(**of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            let dictionary = array.as_any_dictionary();
            let values = text(dictionary.values())?;
            // The key of a null is any number.
            let value = |key: usize| (key < values.len() && values.is_valid(key)).then(|| values.value(key));
            let keys = dictionary.normalized_keys().into_iter().enumerate();
            keys.map(|(row, key)| if dictionary.keys().is_valid(row) { value(key) } else { None }).collect()
        }
        other => return Err(wrong_type(format!("the texts are an Arrow array of {other}: give one column of strings"))),
    })
}

/// `None`, NaN as numpy and pandas put it for what is missing, and `pandas.NA`.
fn is_missing(item: &Bound<'_, PyAny>) -> PyResult<bool> {
    if item.is_none() {
        return Ok(true);
    }
    if let Ok(number) = item.cast::<PyFloat>() {
        return Ok(number.extract::<f64>()?.is_nan());
    }
    Ok(is_of(item, "pandas")? && ["NAType", "NaTType"].contains(&&*type_name(item)?))
}

/// Whether an object's type is one of this package.
fn is_of(object: &Bound<'_, PyAny>, package: &str) -> PyResult<bool> {
    let module = object.get_type().module()?;
    Ok(module.to_str()?.split('.').next() == Some(package))
}

fn type_name(object: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(object.get_type().name()?.to_str()?.to_owned())
}
