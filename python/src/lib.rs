//! The Python module `hh._hh`: the library `hh` and the program `hh-runtime`, called from Python.
//!
//! It computes nothing itself: inputs become texts ([`texts`]), options those of the library, errors Python exceptions with the
//! same sentences ([`errors`]). The package `hh/` beside it wraps it.

mod arrow;
mod embedding;
mod errors;
mod generation;
mod numpy;
mod options;
mod session;
mod text_model;
mod texts;

use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the program `hh-runtime` with these arguments, the first of them its name, and returns its exit code.
#[pyfunction]
fn program(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| hh_runtime::program::main(args))
}

#[pymodule]
fn _hh(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<embedding::EmbeddingModel>()?;
    module.add_class::<embedding::Job>()?;
    module.add_class::<arrow::ArrowArray>()?;
    module.add_class::<text_model::TextModel>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<generation::Generation>()?;
    module.add_function(wrap_pyfunction!(program, module)?)
}
