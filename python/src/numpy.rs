//! Numbers as numpy arrays. numpy is called as Python calls it, so that one module serves all its versions.

use hh::{Embeddings, Values};
use pyo3::{prelude::*, types::PyByteArray};

/// Embeddings as an array `[n, dim]` of float32 or int8, or `[n, ⌈dim / 8⌉]` of uint8.
pub(crate) fn matrix<'py>(py: Python<'py>, embeddings: &Embeddings) -> PyResult<Bound<'py, PyAny>> {
    let dim = embeddings.dim();
    let (array, width) = match embeddings.values() {
        Values::F32(x) => (floats(py, x)?, dim),
        Values::Int8(x) => (array(py, "int8", x.len(), x.iter().map(|x| x.to_ne_bytes()))?, dim),
        Values::Binary(x) => (array(py, "uint8", x.len(), x.iter().map(|x| [*x]))?, dim.div_ceil(8)),
    };
    array.call_method1("reshape", (embeddings.len(), width))
}

/// An array `[n]` of float32.
pub(crate) fn floats<'py>(py: Python<'py>, values: &[f32]) -> PyResult<Bound<'py, PyAny>> {
    array(py, "float32", values.len(), values.iter().map(|x| x.to_ne_bytes()))
}

/// The array owns its bytes and can be written to.
fn array<'py, const N: usize>(
    py: Python<'py>,
    dtype: &str,
    count: usize,
    values: impl Iterator<Item = [u8; N]>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyByteArray::new_with(py, count * N, |bytes| {
        bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value);
        Ok(())
    })?;
    py.import("numpy")?.call_method1("frombuffer", (bytes, dtype))
}
