//! Addresses as the `socket` module shows them.
use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{IntoPyObjectExt, ffi};
use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// The Python value of an Internet address.
pub(super) fn inet<'py>(py: Python<'py>, address: SocketAddr) -> PyResult<Bound<'py, PyAny>> {
    match address {
        SocketAddr::V4(address) => (address.ip().to_string(), address.port()).into_bound_py_any(py),
        SocketAddr::V6(address) => {
            (address.ip().to_string(), address.port(), address.flowinfo(), address.scope_id())
                .into_bound_py_any(py)
        }
    }
}

/// The Python value of any address; None for a family that a stream transport never meets.
pub(super) fn any<'py>(py: Python<'py>, address: SocketAddrAny) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return inet(py, address);
    }
    let Ok(address) = SocketAddrUnix::try_from(address) else {
        return Ok(py.None().into_bound(py));
    };
    // The kernel names no socket with a zero alone: that is how one without a name may look here.
    if let Some(name) = address.abstract_name().filter(|name| !name.is_empty()) {
        let mut bytes = vec![0];
        bytes.extend_from_slice(name);
        return Ok(PyBytes::new(py, &bytes).into_any());
    }
    let Some(path) = address.path_bytes() else {
        return Ok(PyString::new(py, "").into_any());
    };
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    // SAFETY: the GIL is held and the pointer is valid for the length; the answer is a new reference or NULL
    // with an exception set.
    unsafe {
        let decoded = ffi::PyUnicode_DecodeFSDefaultAndSize(
            path.as_ptr().cast(),
            path.len() as ffi::Py_ssize_t,
        );
        Bound::from_owned_ptr_or_err(py, decoded)
    }
}
