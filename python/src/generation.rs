//! Text that is being generated.

use crate::session::Shared;
use hh::{Continuation, GenerateOptions, SamplerConfig};
use pyo3::{prelude::*, types::PyString};

/// Options of a generation; `stop` is a str or a sequence of them.
pub(crate) fn options(
    sampler: SamplerConfig,
    max_tokens: usize,
    stop: Option<&Bound<'_, PyAny>>,
    ignore_end_of_text: bool,
) -> PyResult<GenerateOptions> {
    let stop = match stop {
        None => Vec::new(),
        Some(one) if one.is_instance_of::<PyString>() => vec![one.extract()?],
        Some(several) => several.extract()?,
    };
    Ok(GenerateOptions { max_tokens, sampler, stop, ignore_end_of_text })
}

/// An iterator over pieces of a text that is being generated.
#[pyclass(module = "hh")]
pub(crate) struct Generation {
    session: Shared,
    continuation: Continuation,
}

impl Generation {
    pub(crate) fn new(session: Shared, continuation: Continuation) -> Self {
        Self { session, continuation }
    }
}

#[pymethods]
impl Generation {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The text of one token or of several, as soon as it is whole.
    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<String>> {
        let Self { session, continuation } = self;
        session.with(py, |session| continuation.next(session))
    }
}
