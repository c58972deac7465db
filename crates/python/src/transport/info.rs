//! What a transport knows of its socket: names, and the `socket.socket` that is made when it is asked for.
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd};

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use rustix::net::{SocketAddrAny, getpeername, getsockname};

use super::address;
use super::stream::{State, StreamTransport};

impl StreamTransport {
    /// Takes note of what the system will not tell any more once the descriptor is closed.
    pub(super) fn keep_names(&self, this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let known = self.state.with(py, |state| {
            let Some(fd) = state.descriptor() else { return true };
            state.local = getsockname(fd).ok().and_then(|address| address.try_into().ok());
            state.local.is_some()
        });
        if !known {
            self.extra_item(this, intern!(py, "sockname"))?;
            self.extra_item(this, intern!(py, "peername"))?;
        }
        Ok(())
    }

    /// The dict behind `get_extra_info`.
    pub(super) fn extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        if let Some(extra) = self.extra.get(py) {
            return extra;
        }
        let extra = PyDict::new(py);
        self.extra.set(py, Some(extra.clone().unbind()));
        extra
    }

    /// What `get_extra_info` knows under `name`: looked up when it is first asked for.
    pub(super) fn extra_item<'py>(
        &self,
        this: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = this.py();
        if let Some(extra) = self.extra.get(py)
            && let Some(value) = extra.get_item(name)?
        {
            return Ok(Some(value));
        }
        let Ok(text) = name.cast::<PyString>() else { return Ok(None) };
        let value = match text.to_str()? {
            "socket" => self.transport_socket(this)?,
            "sockname" => self.name(py, |state| state.local, |fd| getsockname(fd).ok())?,
            "peername" => self.name(py, |state| state.peer, |fd| getpeername(fd).ok().flatten())?,
            _ => return Ok(None),
        };
        self.extra(py).set_item(name, &value)?;
        Ok(Some(value))
    }

    fn name<'py>(
        &self,
        py: Python<'py>,
        kept: impl FnOnce(&State) -> Option<SocketAddr>,
        ask: impl FnOnce(BorrowedFd<'_>) -> Option<SocketAddrAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (kept, asked) = self.state.with(py, |state| match kept(state) {
            Some(address) => (Some(address), None),
            None => (None, state.descriptor().and_then(ask)),
        });
        match (kept, asked) {
            (Some(address), _) => address::inet(py, address),
            (None, Some(address)) => address::any(py, address),
            (None, None) => Ok(py.None().into_bound(py)),
        }
    }

    /// The object that `get_extra_info("socket")` answers, which cannot read, write or close.
    fn transport_socket<'py>(&self, this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let socket = match self.python_socket(this)? {
            Some(socket) => socket,
            // Nobody asked while there was one: a socket that is not open stands for it.
            None => {
                let class = py.import(intern!(py, "socket"))?.getattr(intern!(py, "socket"))?;
                class.call_method1(intern!(py, "__new__"), (&class,))?
            }
        };
        shown_socket(&socket)
    }

    /// The `socket.socket`, which owns the descriptor from now on; None once the connection is lost.
    pub(super) fn python_socket<'py>(
        &self,
        this: &Bound<'py, Self>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = this.py();
        if let Some(socket) = self.socket.get(py) {
            return Ok(Some(socket));
        }
        let Some((fd, family)) = self.state.with(py, |state| {
            let family = getsockname(state.descriptor()?).ok()?.address_family();
            Some((state.fd, family))
        }) else {
            return Ok(None);
        };
        let module = py.import(intern!(py, "socket"))?;
        let stream = module.getattr(intern!(py, "SOCK_STREAM"))?;
        let socket =
            module.getattr(intern!(py, "socket"))?.call1((family.as_raw(), stream, -1, fd))?;
        // That ran Python code: it may have asked for the socket, too, or have closed the connection.
        let owned = self.state.with(py, |state| state.owned.take());
        let Some(owned) = owned else {
            socket.call_method0(intern!(py, "detach"))?;
            return Ok(self.socket.get(py));
        };
        // Owned by the socket object now.
        let _ = owned.into_raw_fd();
        self.socket.set(py, Some(socket.clone().unbind()));
        hold(&socket, 1)?;
        socket.call_method1(intern!(py, "setblocking"), (false,))?;
        Ok(Some(socket))
    }
}

/// Holds off the closing of a `socket.socket` while a transport uses its descriptor, or lets go of it, as the
/// files do that `makefile` makes: a `close()` of the program must not free a number that is still in use.
pub(super) fn hold(socket: &Bound<'_, PyAny>, change: isize) -> PyResult<()> {
    let name = intern!(socket.py(), "_io_refs");
    match socket.getattr_opt(name)? {
        Some(count) if count.is_instance_of::<PyInt>() => socket.setattr(name, count.add(change)?),
        // Not the `socket` module's.
        _ => Ok(()),
    }
}

/// Fills `extra` with what asyncio tells of every socket.
///
/// # Errors
/// What the socket raises, unless it is the system's: then there is no such name.
pub(super) fn fill(extra: &Bound<'_, PyDict>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = extra.py();
    extra.set_item(intern!(py, "socket"), shown_socket(socket)?)?;
    extra.set_item(intern!(py, "sockname"), ask_name(socket, intern!(py, "getsockname"))?)?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), ask_name(socket, intern!(py, "getpeername"))?)?;
    }
    Ok(())
}

fn ask_name<'py>(
    socket: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match socket.call_method0(method) {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.is_instance_of::<PyOSError>(socket.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What programs get to see of a socket: they cannot read, write or close it.
fn shown_socket<'py>(socket: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = socket.py();
    py.import(intern!(py, "asyncio.trsock"))?
        .getattr(intern!(py, "TransportSocket"))?
        .call1((socket,))
}

/// Closes a `socket.socket` that was held.
pub(super) fn close(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    hold(socket, -1).and(socket.call_method0(intern!(socket.py(), "close")).map(drop))
}
