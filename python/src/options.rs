//! Options by their names, which are those of the program's flags.

use crate::errors::input;
use hh::{Output, Pooling, Prompt};
use pyo3::PyResult;

/// What becomes of a text that is missing or blank.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// Its embedding is null.
    Null,
    /// Its embedding is all zeros.
    Zero,
    /// It is an error.
    Refuse,
}

/// The value of that name.
fn named<T: Copy>(what: &str, name: &str, known: &[(&str, T)]) -> PyResult<T> {
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
        input(format!("{what} is {name:?}: give {}", names.join(" or ")))
    })
}

pub(crate) fn prompt(name: &str) -> PyResult<Prompt> {
    named("kind", name, &[("plain", Prompt::Plain), ("query", Prompt::Query), ("document", Prompt::Document)])
}

pub(crate) fn pooling(name: &str) -> PyResult<Pooling> {
    named("pooling", name, &[("mean", Pooling::Mean), ("last", Pooling::Last), ("weighted", Pooling::Weighted)])
}

/// numpy's and sentence-transformers' names.
pub(crate) fn output(name: &str) -> PyResult<Output> {
    named("dtype", name, &[("float32", Output::F32), ("int8", Output::Int8), ("ubinary", Output::Binary)])
}

/// `nullable`: whether the output can hold a null.
pub(crate) fn empty(name: &str, nullable: bool) -> PyResult<Empty> {
    let known = [("refuse", Empty::Refuse), ("zero", Empty::Zero), ("null", Empty::Null)];
    named("empty", name, if nullable { &known } else { &known[..2] })
}

/// The number, if it is at least 1.
pub(crate) fn at_least_one(what: &str, n: Option<usize>) -> PyResult<Option<usize>> {
    if n == Some(0) { Err(input(format!("{what} is 0: give 1 or more"))) } else { Ok(n) }
}
