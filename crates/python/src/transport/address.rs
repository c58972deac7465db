//! Addresses as the `socket` module shows them.
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
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

/// The Internet address that a Python value means, if that takes no look-up: a tuple of a numeric host and a
/// port, and for IPv6 perhaps a flow label of 0 and a zone's number. None for anything else, right or wrong.
pub(super) fn parse(value: &Bound<'_, PyAny>, is_v6: bool) -> Option<SocketAddr> {
    let tuple = value.cast_exact::<PyTuple>().ok()?;
    let (host, port) = (tuple.get_item(0).ok()?, tuple.get_item(1).ok()?);
    let host = host.cast_exact::<PyString>().ok()?.to_str().ok()?;
    let port = number(&port)?;
    if !is_v6 {
        let ip: Ipv4Addr = host.parse().ok()?;
        return (tuple.len() == 2).then(|| SocketAddrV4::new(ip, port).into());
    }
    let ip: Ipv6Addr = host.parse().ok()?;
    let scope = match tuple.len() {
        2 => 0,
        3 | 4 if number::<u32>(&tuple.get_item(2).ok()?)? != 0 => return None,
        3 => 0,
        4 => number(&tuple.get_item(3).ok()?)?,
        _ => return None,
    };
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// The value of an exact `int` in range.
fn number<T: TryFrom<i64>>(value: &Bound<'_, PyAny>) -> Option<T> {
    let value: i64 = value.cast_exact::<PyInt>().ok()?.extract().ok()?;
    T::try_from(value).ok()
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
