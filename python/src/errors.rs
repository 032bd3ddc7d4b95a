//! Errors of the library as Python exceptions: the sentences stay, the classes are those of `hh/errors.py`.

use hh::Error;
use hh_core::error::Error as Core;
use pyo3::{PyErr, exceptions::PyTypeError, import_exception};
use std::io::ErrorKind;

mod classes {
    pyo3::import_exception!(hh.errors, Error);
    pyo3::import_exception!(hh.errors, FileError);
    pyo3::import_exception!(hh.errors, FileNotFound);
}
import_exception!(hh.errors, InputError);

/// The exception for an error of the library.
pub(crate) fn exception(error: Error) -> PyErr {
    let sentence = error.to_string();
    match error {
        Error::Folder(_) => classes::FileNotFound::new_err(sentence),
        Error::File { source, .. } if source.kind() == ErrorKind::NotFound => classes::FileNotFound::new_err(sentence),
        Error::File { .. } => classes::FileError::new_err(sentence),
        Error::Core(Core::Device(_)) => classes::Error::new_err(sentence),
        _ => InputError::new_err(sentence),
    }
}

/// A value that is wrong, in a sentence.
pub(crate) fn input(sentence: impl Into<String>) -> PyErr {
    InputError::new_err(sentence.into())
}

/// A value of the wrong type, in a sentence.
pub(crate) fn wrong_type(sentence: impl Into<String>) -> PyErr {
    PyTypeError::new_err(sentence.into())
}
