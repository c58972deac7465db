//! The methods of a stream transport that programs call.
use boros::reactor::Direction;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::endpoint::{Endpoint, Shown};
use super::flow::Flow;
use super::stream::{self, Source, StreamTransport};
use super::{read, write};
use crate::asyncio::Asyncio;
use crate::context::copy_current;
use crate::event_loop::Loop;

#[pymethods]
impl StreamTransport {
    /// A transport over ``sock``, a connected non-blocking TCP or Unix stream socket, which belongs
    /// to it from now on.
    ///
    /// Soon ``protocol.connection_made(transport)`` is called, then reading starts, then ``waiter``
    /// is set. Raises :exc:`RuntimeError` if the loop is closed, :exc:`ValueError` if the socket is.
    #[new]
    #[pyo3(signature = (r#loop, sock, protocol, *, waiter = None, extra = None, server = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, Loop>,
        sock: Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        server: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let context = copy_current(r#loop.py())?;
        let source = Source::Socket(sock);
        StreamTransport::create(r#loop, source, protocol, server, extra, context, waiter)
    }

    /// Has ``data`` sent: at the end of the callback or task step under way, or when that has
    /// written much. Never blocks.
    ///
    /// Raises :exc:`TypeError` for what is not bytes, bytearray or memoryview, and
    /// :exc:`RuntimeError` after :meth:`write_eof`.
    fn write(this: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        write::write(this, data)
    }

    /// Like :meth:`write` for each of an iterable of bytes-like objects.
    fn writelines(this: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        write::writelines(this, list_of_data)
    }

    /// Tells the peer that nothing more comes, once what is buffered was sent. Reading goes on.
    ///
    /// Raises :exc:`OSError` if the system refuses.
    fn write_eof(this: &Bound<'_, Self>) -> PyResult<()> {
        write::write_eof(this)
    }

    /// True: a stream socket can be closed one way.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Closes the transport once what is buffered was sent. ``connection_lost(None)`` follows.
    fn close(this: &Bound<'_, Self>) -> PyResult<()> {
        StreamTransport::close_gracefully(this)
    }

    /// Closes the transport without sending what is buffered. ``connection_lost(None)`` follows.
    fn abort(this: &Bound<'_, Self>) -> PyResult<()> {
        StreamTransport::close_at_once(this, None)
    }

    /// Whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Stops calling the protocol with data, until :meth:`resume_reading`.
    fn pause_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let news = this.get().state.with(this.py(), |state| {
            let news = state.is_reading();
            state.paused |= news;
            news
        });
        if !news {
            return Ok(());
        }
        StreamTransport::unwatch_reading(this);
        StreamTransport::debug_log(this, "%r pauses reading")
    }

    /// Goes on reading after :meth:`pause_reading`.
    fn resume_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let news = this
            .get()
            .state
            .with(this.py(), |state| !state.closing && std::mem::take(&mut state.paused));
        if !news {
            return Ok(());
        }
        StreamTransport::watch_reading(this)?;
        StreamTransport::debug_log(this, "%r resumes reading")
    }

    /// Whether the transport is neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_reading())
    }

    /// Sets the sizes in bytes above which ``pause_writing`` and at which ``resume_writing`` is called
    /// on the protocol. ``high`` is 64 KiB by default or four times ``low``, and ``low`` a quarter
    /// of ``high``.
    ///
    /// Raises :exc:`ValueError` unless ``high >= low >= 0``.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        this: &Bound<'_, Self>,
        high: Option<isize>,
        low: Option<isize>,
    ) -> PyResult<()> {
        let (high, low) = Flow::limits(high, low)?;
        write::flush(this)?;
        this.get().state.with(this.py(), |state| {
            state.flow.high = high;
            state.flow.low = low;
        });
        write::pause_protocol(this)
    }

    /// The limits ``(low, high)`` in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.flow.low, state.flow.high))
    }

    /// How many bytes the kernel has not taken yet. Gives it what was written in this step first.
    fn get_write_buffer_size(this: &Bound<'_, Self>) -> PyResult<usize> {
        write::flush(this)?;
        Ok(this.get().state.with(this.py(), |state| state.buffer.len()))
    }

    /// The protocol; None once the connection is lost.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol.get(py)
    }

    /// Has ``protocol`` called from now on.
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let lends_buffer = stream::lends_buffer(protocol)?;
        self.state.with(py, |state| state.lends_buffer = lends_buffer);
        self.protocol.set(py, Some(protocol.clone().unbind()));
        Ok(())
    }

    /// What is known under ``name``: ``socket``, ``sockname``, ``peername`` and what the creator
    /// of the transport added; else ``default``.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        this: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(this.get().extra_item(this, name)?.or(default))
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        let shown = this.get().state.with(this.py(), |state| Shown {
            open: state.descriptor().is_some(),
            closing: state.closing,
            fd: state.fd,
            reading: state.reading,
            writing: state.writing,
            size: state.buffer.len(),
        });
        shown.text(this)
    }

    /// What ``isinstance`` falls back on: it is an :class:`asyncio.Transport`.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        Ok(Asyncio::get(this.py())?.transport_class.clone_ref(this.py()))
    }

    #[classattr]
    #[pyo3(name = "_start_tls_compatible")]
    const STARTS_TLS: bool = true;

    /// What asyncio's loops ask before they send a file.
    #[getter]
    fn _sendfile_compatible<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("asyncio.constants")?.getattr("_SendfileMode")?.getattr("TRY_NATIVE")
    }

    #[getter]
    fn _sock<'py>(this: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        this.get().python_socket(this)
    }

    #[getter]
    fn _sock_fd(&self, py: Python<'_>) -> i32 {
        self.state.with(py, |state| state.fd)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.event_loop.get(py)
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol.get(py)
    }

    #[getter]
    fn _server<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.server.get(py)
    }

    #[getter]
    fn _extra<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = this.py();
        for name in [intern!(py, "socket"), intern!(py, "sockname"), intern!(py, "peername")] {
            this.get().extra_item(this, name)?;
        }
        Ok(this.get().extra(py))
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.lost)
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.eof)
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.flow.paused)
    }

    #[getter]
    fn _high_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.flow.high)
    }

    #[getter]
    fn _low_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.flow.low)
    }

    fn _force_close(this: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        StreamTransport::close_at_once(this, exc)
    }

    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(this: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        StreamTransport::fatal_error(this, PyErr::from_value(exc), message)
    }

    /// What the loop does when the socket is readable.
    fn _read_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        read::read_ready(this)
    }

    /// What the loop does when the socket is writable.
    fn _write_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        write::write_ready(this)
    }

    #[pyo3(signature = (exc, /))]
    fn _call_connection_lost(this: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        StreamTransport::lose(this, exc.as_ref())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(visit)?;
        self.protocol.traverse(visit)?;
        self.context.traverse(visit)?;
        self.server.traverse(visit)?;
        self.socket.traverse(visit)?;
        self.sender.traverse(visit)?;
        self.extra.traverse(visit)
    }

    fn __clear__(&self) {
        self.protocol.clear();
        self.context.clear();
        self.server.clear();
        self.socket.clear();
        self.sender.clear();
        self.extra.clear();
        self.event_loop.clear();
    }
}

#[pymethods]
impl Loop {
    /// A transport over a connected socket: see :class:`StreamTransport`.
    #[pyo3(signature = (sock, protocol, waiter = None, *, extra = None, server = None))]
    fn _make_socket_transport<'py>(
        this: &Bound<'py, Self>,
        sock: Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        server: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, StreamTransport>> {
        let context = copy_current(this.py())?;
        let source = Source::Socket(sock);
        StreamTransport::create(this, source, protocol, server, extra, context, waiter)
    }

    /// Raises :exc:`RuntimeError` if ``fd`` belongs to a transport that is not closing.
    fn _ensure_fd_no_transport(this: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let number = crate::watch::fileno(fd)?;
        if !this.get().streams().is_claimed(py, number) {
            return Ok(());
        }
        let transport = this.get().engine(py, |engine| {
            [Direction::Read, Direction::Write]
                .into_iter()
                .find_map(|direction| engine.watcher(number, direction)?.as_transport(py))
        });
        let what = match transport.flatten() {
            Some(transport) => transport.bind(py).repr()?.to_string(),
            None => "that neither reads nor writes".to_owned(),
        };
        Err(pyo3::exceptions::PyRuntimeError::new_err(format!(
            "File descriptor {} is used by transport {what}",
            fd.repr()?
        )))
    }
}
