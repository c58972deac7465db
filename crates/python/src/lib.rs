//! The extension module `boros._boros`: registration only.
use pyo3::prelude::*;

#[pymodule]
#[pyo3(gil_used = true)]
fn _boros(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))
}
