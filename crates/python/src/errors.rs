//! Errors of the operating system as Python exceptions: with their number, which PyO3's own conversion loses.
use std::io;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

/// The exception that stands for a system's error number.
pub(crate) fn os_error(py: Python<'_>, number: i32) -> PyErr {
    let text = py
        .import(intern!(py, "os"))
        .and_then(|os| os.call_method1(intern!(py, "strerror"), (number,)))
        .map(Bound::unbind);
    match text {
        Ok(text) => PyOSError::new_err((number, text)),
        Err(error) => error,
    }
}

/// The exception that stands for `error`.
pub(crate) fn io_error(py: Python<'_>, error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => os_error(py, number),
        None => PyOSError::new_err(error.to_string()),
    }
}
