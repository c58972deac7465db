//! The methods of a datagram transport that programs call.
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::super::endpoint::{Endpoint, Shown};
use super::super::flow::Flow;
use super::super::stream::wake;
use super::{DatagramTransport, Destination, receive, send};
use crate::asyncio::Asyncio;
use crate::event_loop::Loop;

#[pymethods]
impl DatagramTransport {
    /// A transport over ``sock``, a non-blocking datagram socket, which belongs to it from now on.
    /// With ``address`` nothing may be sent elsewhere.
    ///
    /// Soon ``protocol.connection_made(transport)`` is called, then receiving starts, then ``waiter``
    /// is set. Raises :exc:`RuntimeError` if the loop is closed, :exc:`ValueError` if the socket is.
    #[new]
    #[pyo3(signature = (r#loop, sock, protocol, address = None, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, Loop>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        DatagramTransport::create(r#loop, sock, protocol, address, waiter, extra)
    }

    /// Sends the datagram ``data`` to ``addr``, or to the transport's only address. Never blocks: what
    /// the system has no room for is sent later. Failures go to the protocol's ``error_received``.
    ///
    /// Raises :exc:`TypeError` for what is not bytes, bytearray or memoryview, and
    /// :exc:`ValueError` for an address that is not the transport's only one.
    #[pyo3(signature = (data, addr = None))]
    fn sendto(
        this: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        send::sendto(this, data, addr)
    }

    /// Closes the transport once what is buffered was sent. ``connection_lost(None)`` follows.
    fn close(this: &Bound<'_, Self>) -> PyResult<()> {
        DatagramTransport::close_gracefully(this)
    }

    /// Closes the transport without sending what is buffered. ``connection_lost(None)`` follows.
    fn abort(this: &Bound<'_, Self>) -> PyResult<()> {
        DatagramTransport::force_close(this, None)
    }

    /// Whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Stops calling the protocol with datagrams, until :meth:`resume_reading`.
    fn pause_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let news = this.get().state.with(this.py(), |state| {
            let news = state.is_reading();
            state.paused |= news;
            news
        });
        if !news {
            return Ok(());
        }
        DatagramTransport::unwatch_reading(this);
        DatagramTransport::debug_log(this, "%r pauses reading")
    }

    /// Goes on receiving after :meth:`pause_reading`.
    fn resume_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let news = this
            .get()
            .state
            .with(this.py(), |state| !state.closing && std::mem::take(&mut state.paused));
        if !news {
            return Ok(());
        }
        DatagramTransport::watch_reading(this)?;
        DatagramTransport::debug_log(this, "%r resumes reading")
    }

    /// Whether the transport is neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_reading())
    }

    /// Sets the sizes in bytes above which ``pause_writing`` and at which ``resume_writing`` is called
    /// on the protocol. ``high`` is 64 KiB by default or four times ``low``, and ``low`` a quarter
    /// of ``high``. From Python 3.13 on, each datagram counts for 8 bytes more than it has.
    ///
    /// Raises :exc:`ValueError` unless ``high >= low >= 0``.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        this: &Bound<'_, Self>,
        high: Option<isize>,
        low: Option<isize>,
    ) -> PyResult<()> {
        let (high, low) = Flow::limits(high, low)?;
        this.get().state.with(this.py(), |state| {
            state.flow.high = high;
            state.flow.low = low;
        });
        send::pause_protocol(this)
    }

    /// The limits ``(low, high)`` in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.flow.low, state.flow.high))
    }

    /// What the datagrams that wait to be sent count for, in bytes.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.size)
    }

    /// The protocol; None once the transport is closed.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol.get(py)
    }

    /// Has ``protocol`` called from now on.
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
        self.protocol.set(protocol.py(), Some(protocol.clone().unbind()));
    }

    /// What is known under ``name``: ``socket``, ``sockname``, ``peername`` and what the creator
    /// of the transport added; else ``default``.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.extra.get(py) {
            Some(extra) => Ok(extra.get_item(name)?.or(default)),
            None => Ok(default),
        }
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        let shown = this.get().state.with(this.py(), |state| Shown {
            open: state.open,
            closing: state.closing,
            fd: state.fd,
            reading: state.reading,
            writing: state.writing,
            size: state.size,
        });
        shown.text(this)
    }

    /// What ``isinstance`` falls back on: it is an :class:`asyncio.DatagramTransport`, and an
    /// :class:`asyncio.Transport` like asyncio's own.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        Ok(Asyncio::get(this.py())?.datagram_transport_class.clone_ref(this.py()))
    }

    #[getter]
    fn _sock<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.socket.get(py)
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
    fn _address<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.address.get(py)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        self.extra.get(py)
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.lost)
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    fn _force_close(this: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        DatagramTransport::force_close(this, exc)
    }

    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(this: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        DatagramTransport::fatal_error(this, PyErr::from_value(exc), message)
    }

    /// What the loop does once the protocol was introduced.
    fn _start(this: &Bound<'_, Self>, waiter: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.get().state.with(this.py(), |state| state.made = true);
        let started = DatagramTransport::watch_reading(this);
        match waiter {
            Some(waiter) => started.and(wake(waiter)),
            None => started,
        }
    }

    /// What the loop does when the socket is readable.
    fn _read_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        receive::read_ready(this)
    }

    /// What the loop does when the socket is writable.
    fn _sendto_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        send::write_ready(this)
    }

    /// Tries again, where the system does not tell when there is room.
    fn _stop_resting(this: &Bound<'_, Self>) -> PyResult<()> {
        this.get().state.with(this.py(), |state| state.resting = false);
        send::write_ready(this)
    }

    #[pyo3(signature = (exc, /))]
    fn _call_connection_lost(this: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        DatagramTransport::lose(this, exc.as_ref())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(visit)?;
        self.protocol.traverse(visit)?;
        self.context.traverse(visit)?;
        self.socket.traverse(visit)?;
        self.address.traverse(visit)?;
        self.sender.traverse(visit)?;
        self.extra.traverse(visit)?;
        let queued = self.state.inspect(|state| {
            state.queue.iter().try_for_each(|datagram| match &datagram.to {
                Destination::Other(address) => visit.call(address),
                Destination::Peer | Destination::Internet(_) => Ok(()),
            })
        });
        queued.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        self.protocol.clear();
        self.context.clear();
        self.address.clear();
        self.sender.clear();
        self.extra.clear();
        self.socket.clear();
        self.event_loop.clear();
    }
}

#[pymethods]
impl Loop {
    /// A transport over a datagram socket: see :class:`DatagramTransport`.
    #[pyo3(signature = (sock, protocol, address = None, waiter = None, extra = None))]
    fn _make_datagram_transport<'py>(
        this: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, DatagramTransport>> {
        DatagramTransport::create(this, sock, protocol, address, waiter, extra)
    }
}
