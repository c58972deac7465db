//! The methods of a `WritePipeTransport` that programs call.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::WritePipeTransport;
use super::flow::Flow;
use super::pipe::Pipe;
use super::pipe_write::Writing;
use super::write::{check_data, copied};
use super::write_buffer::WriteBuffer;
use crate::asyncio::Asyncio;
use crate::cell::GilCell;
use crate::event_loop::Loop;

#[pymethods]
impl WritePipeTransport {
    /// A transport over ``pipe``, a file object of a pipe, a socket or a character device, which
    /// belongs to it from now on and no longer blocks.
    ///
    /// Soon ``protocol.connection_made(transport)`` is called, then ``waiter`` is set. Raises
    /// :exc:`ValueError` for any other file and :exc:`RuntimeError` if the loop is closed.
    #[new]
    #[pyo3(signature = (r#loop, pipe, protocol, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, Loop>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        let pipe = Pipe::open(r#loop, pipe, protocol, extra, refusal)?;
        let writing = GilCell::new(Writing {
            buffer: WriteBuffer::default(),
            flow: Flow::default(),
            lost: 0,
        });
        let this = Bound::new(r#loop.py(), WritePipeTransport { pipe, writing })?;
        if let Err(error) = this.get().pipe.introduce(&this, waiter) {
            // The pipe stays the caller's.
            this.get().pipe.file.set(r#loop.py(), None);
            return Err(error);
        }
        Ok(this)
    }

    /// Has the loop notice when the other end is closed: what it does after ``connection_made``.
    fn _start(this: &Bound<'_, Self>) -> PyResult<()> {
        WritePipeTransport::watch_peer(this)
    }

    /// Writes ``data``; what the pipe has no room for is written when it has. Never blocks.
    ///
    /// Raises :exc:`TypeError` for what is not bytes, bytearray or memoryview.
    fn write(this: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        check_data(data)?;
        if let Ok(piece) = data.cast_exact::<PyBytes>() {
            return WritePipeTransport::write_piece(this, piece);
        }
        match copied(data) {
            Ok(piece) => WritePipeTransport::write_piece(this, &piece),
            Err(error) => WritePipeTransport::write_failed(this, error),
        }
    }

    /// Like :meth:`write` for all that an iterable of bytes-like objects holds.
    fn writelines(this: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let empty = PyBytes::new(py, b"");
        let joined = empty.call_method1(intern!(py, "join"), (list_of_data,))?;
        WritePipeTransport::write(this, &joined)
    }

    /// Closes the transport once what is buffered was written: a pipe ends no other way.
    fn write_eof(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        if transport.pipe.state.with(py, |state| std::mem::replace(&mut state.closing, true)) {
            return Ok(());
        }
        let drained = transport.writing.with(py, |writing| writing.buffer.is_empty());
        if drained || transport.pipe.is_stranded(py) {
            return WritePipeTransport::close_now(this, None);
        }
        Ok(())
    }

    /// True.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Closes the transport once what is buffered was written. ``connection_lost(None)`` follows.
    fn close(this: &Bound<'_, Self>) -> PyResult<()> {
        WritePipeTransport::write_eof(this)
    }

    /// Closes the transport without writing what is buffered. ``connection_lost(None)`` follows.
    fn abort(this: &Bound<'_, Self>) -> PyResult<()> {
        WritePipeTransport::close_now(this, None)
    }

    /// Whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.pipe.state.with(py, |state| state.closing)
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
        this.get().writing.with(this.py(), |writing| {
            writing.flow.high = high;
            writing.flow.low = low;
        });
        WritePipeTransport::pause_protocol(this)
    }

    /// The limits ``(low, high)`` in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.writing.with(py, |writing| (writing.flow.low, writing.flow.high))
    }

    /// How many bytes the pipe had no room for yet.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.writing.with(py, |writing| writing.buffer.len())
    }

    /// The protocol; None once the pipe is closed.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.pipe.protocol.get(py)
    }

    /// Has ``protocol`` called from now on.
    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        self.pipe.protocol.set(py, Some(protocol));
    }

    /// What is known under ``name``: ``pipe``, and what the creator added; else ``default``.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(extra) = self.pipe.extra.get(py) else { return Ok(default) };
        Ok(extra.get_item(name)?.or(default))
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        let (py, pipe) = (this.py(), &this.get().pipe);
        let is_polling = pipe.state.with(py, |state| state.writing);
        let mut text = pipe.describe(this, is_polling)?;
        if pipe.file.is_some(py) && !pipe.is_stranded(py) {
            let size = this.get().writing.with(py, |writing| writing.buffer.len());
            text += &format!(" bufsize={size}");
        }
        Ok(text + ">")
    }

    /// What ``isinstance`` falls back on: like asyncio's, it is an :class:`asyncio.Transport`, and so an
    /// :class:`asyncio.WriteTransport`.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        Ok(Asyncio::get(this.py())?.transport_class.clone_ref(this.py()))
    }

    #[getter]
    fn _pipe<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.pipe.file.get(py)
    }

    /// For programs that close the pipe by themselves and set it to None, as asyncio's tests do.
    #[setter(_pipe)]
    fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
        self.pipe.file.set(py, pipe);
    }

    #[getter]
    fn _fileno(&self) -> i32 {
        self.pipe.fd
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.pipe.event_loop.get(py)
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.pipe.protocol.get(py)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        self.pipe.extra.get(py)
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.pipe.state.with(py, |state| state.closing)
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> usize {
        self.writing.with(py, |writing| writing.lost)
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.writing.with(py, |writing| writing.flow.paused)
    }

    /// What the loop does when the other end talks, or is closed.
    fn _read_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        WritePipeTransport::peer_ready(this)
    }

    /// What the loop does when the pipe is writable.
    fn _write_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        WritePipeTransport::write_ready(this)
    }

    #[pyo3(signature = (exc, /))]
    fn _call_connection_lost(&self, py: Python<'_>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        self.pipe.lose(py, exc)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pipe.traverse(visit)
    }

    fn __clear__(&self) {
        self.pipe.clear();
    }
}

#[pymethods]
impl Loop {
    /// A transport that writes to ``pipe``: see :class:`WritePipeTransport`.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_write_pipe_transport<'py>(
        this: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, WritePipeTransport>> {
        WritePipeTransport::__new__(this, pipe, protocol, waiter, extra)
    }
}
