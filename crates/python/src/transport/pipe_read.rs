//! `ReadPipeTransport`: the end of a pipe that is read.
use std::sync::OnceLock;

use boros::reactor::Direction;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};
use rustix::io::Errno;

use super::pipe::{Kind, Pipe, PipeEnd, is_os_error};
use super::read::{Failed, LARGE_READ, copy_in, take_in};
use super::streams::MAX_READ;
use super::via::Via;
use crate::asyncio::Asyncio;
use crate::cell::GilCell;
use crate::context::run_in;
use crate::errors::os_error;
use crate::event_loop::Loop;
use crate::finalizer::{Finalize, FinalizeOnDealloc};
use crate::job::Job;

const READ_ERROR: &str = "Fatal read error on pipe transport";

/// Reads a pipe, a socket or a character device and tells a protocol.
///
/// While it waits for readiness the loop holds it. A transport that is dropped while it is open closes its
/// pipe and warns.
#[pyclass(frozen, weakref, dict, module = "boros._boros", name = "ReadPipeTransport")]
pub(crate) struct ReadPipeTransport {
    pipe: Pipe,
    reading: GilCell<Reading>,
}

#[derive(Default)]
struct Reading {
    /// `pause_reading` was called.
    paused: bool,
    /// How many bytes the next read is likely to bring.
    expected: usize,
    /// The system does not tell when the device can be read (`/dev/null`): it always can be.
    always_ready: bool,
    /// A job that reads such a device is queued.
    queued: bool,
}

impl ReadPipeTransport {
    fn end(this: &Bound<'_, Self>) -> PipeEnd {
        PipeEnd::Read(this.clone().unbind())
    }

    fn is_reading_now(&self, py: Python<'_>) -> bool {
        !self.reading.with(py, |reading| reading.paused)
            && !self.pipe.state.with(py, |state| state.closing)
    }

    fn watch(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let pipe = &this.get().pipe;
        if !this.get().is_reading_now(py)
            || pipe.state.with(py, |state| std::mem::replace(&mut state.reading, true))
        {
            return Ok(());
        }
        if this.get().reading.with(py, |reading| reading.always_ready) {
            ReadPipeTransport::queue_read(this);
            return Ok(());
        }
        // A number that is another's by now must not be waited for.
        if let Err(error) = pipe.with_descriptor(py, |_| ()) {
            pipe.state.with(py, |state| state.reading = false);
            return ReadPipeTransport::fatal_error(this, error, READ_ERROR);
        }
        let Err(number) = pipe.watch(py, ReadPipeTransport::end(this), Direction::Read) else {
            return Ok(());
        };
        if number == Some(Errno::PERM.raw_os_error()) && pipe.kind == Kind::Character {
            this.get().reading.with(py, |reading| reading.always_ready = true);
            ReadPipeTransport::queue_read(this);
            return Ok(());
        }
        pipe.state.with(py, |state| state.reading = false);
        match number {
            Some(number) => ReadPipeTransport::fatal_error(this, os_error(py, number), READ_ERROR),
            None => Err(pyo3::exceptions::PyRuntimeError::new_err("Event loop is closed")),
        }
    }

    fn unwatch(this: &Bound<'_, Self>) {
        let (py, pipe) = (this.py(), &this.get().pipe);
        if pipe.state.with(py, |state| std::mem::take(&mut state.reading)) {
            pipe.unwatch(py, &ReadPipeTransport::end(this), Direction::Read);
        }
    }

    fn queue_read(this: &Bound<'_, Self>) {
        let py = this.py();
        let Some(event_loop) = this.get().pipe.event_loop.get(py) else { return };
        if !this.get().reading.with(py, |reading| std::mem::replace(&mut reading.queued, true)) {
            let job = Job::Pipe(ReadPipeTransport::end(this), Direction::Read);
            event_loop.get().push(py, job);
        }
    }

    /// Reads once and tells the protocol, in the transport's context.
    ///
    /// # Errors
    /// What the protocol raises.
    pub(crate) fn read_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        let always_ready = transport.reading.with(py, |reading| {
            reading.queued = false;
            reading.always_ready
        });
        if !transport.pipe.state.with(py, |state| state.reading) {
            // Paused or closed by a job of the same turn.
            return Ok(());
        }
        let Some(context) = transport.pipe.context.get(py) else { return Ok(()) };
        let result = run_in(&context, || ReadPipeTransport::read_once(this));
        if always_ready && transport.pipe.state.with(py, |state| state.reading) {
            ReadPipeTransport::queue_read(this);
        }
        result
    }

    fn read_once(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        let pipe = &transport.pipe;
        let Some(event_loop) = pipe.event_loop.get(py) else { return Ok(()) };
        let via = if pipe.kind == Kind::Socket { Via::Socket } else { Via::File };
        let expected = transport.reading.with(py, |reading| reading.expected);
        let received = pipe.with_descriptor(py, |fd| {
            if expected < LARGE_READ {
                event_loop.get().streams().scratch(py, |scratch| copy_in(py, fd, via, scratch))
            } else {
                take_in(py, fd, via, expected)
            }
        });
        let data = match received {
            Ok(Ok(data)) => data,
            Ok(Err(Failed::Read(Errno::AGAIN))) => return Ok(()),
            Ok(Err(Failed::Read(error))) => {
                let error = os_error(py, error.raw_os_error());
                return ReadPipeTransport::fatal_error(this, error, READ_ERROR);
            }
            Ok(Err(Failed::Memory)) => {
                return ReadPipeTransport::fatal_error(this, PyErr::fetch(py), READ_ERROR);
            }
            Err(error) => return ReadPipeTransport::fatal_error(this, error, READ_ERROR),
        };
        let count = data.as_bytes().len();
        if count == 0 {
            pipe.debug_log(this, "info", "%r was closed by peer")?;
            pipe.state.with(py, |state| state.closing = true);
            ReadPipeTransport::unwatch(this);
            return pipe.schedule_end(this);
        }
        // Room for one more byte tells a message of this size from the beginning of a longer one.
        let expected = (count + 1).next_power_of_two().min(MAX_READ);
        transport.reading.with(py, |reading| reading.expected = expected);
        let Some(protocol) = pipe.protocol.get(py) else { return Ok(()) };
        protocol.call_method1(intern!(py, "data_received"), (data,)).map(drop)
    }

    /// Reports `error`, unless it only says that a terminal was hung up, and closes the pipe.
    #[cold]
    fn fatal_error(this: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let exception = error.into_value(this.py()).into_bound(this.py()).into_any();
        let is_usual = is_os_error(&exception, Some(Errno::IO));
        let reported = this.get().pipe.report(this, message, &exception, is_usual);
        reported.and(ReadPipeTransport::close_now(this, Some(exception.unbind())))
    }

    fn close_now(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        this.get().pipe.state.with(this.py(), |state| state.closing = true);
        ReadPipeTransport::unwatch(this);
        this.get().pipe.schedule_loss(this, error)
    }
}

#[pymethods]
impl ReadPipeTransport {
    /// A transport over ``pipe``, a file object of a pipe, a socket or a character device, which
    /// belongs to it from now on and no longer blocks.
    ///
    /// Soon ``protocol.connection_made(transport)`` is called, then reading starts, then ``waiter``
    /// is set. Raises :exc:`ValueError` for any other file and :exc:`RuntimeError` if the loop is
    /// closed.
    #[new]
    #[pyo3(signature = (r#loop, pipe, protocol, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, Loop>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let refusal = "Pipe transport is for pipes/sockets only.";
        let pipe = Pipe::open(r#loop, pipe, protocol, extra, refusal)?;
        let reading = GilCell::new(Reading::default());
        let this = Bound::new(r#loop.py(), ReadPipeTransport { pipe, reading })?;
        if let Err(error) = this.get().pipe.introduce(&this, waiter) {
            // The pipe stays the caller's.
            this.get().pipe.file.set(r#loop.py(), None);
            return Err(error);
        }
        Ok(this)
    }

    /// Starts reading: what the loop does after ``connection_made``.
    fn _start(this: &Bound<'_, Self>) -> PyResult<()> {
        ReadPipeTransport::watch(this)
    }

    /// Closes the transport. ``connection_lost(None)`` follows.
    fn close(this: &Bound<'_, Self>) -> PyResult<()> {
        if this.get().pipe.state.with(this.py(), |state| state.closing) {
            return Ok(());
        }
        ReadPipeTransport::close_now(this, None)
    }

    /// Whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.pipe.state.with(py, |state| state.closing)
    }

    /// Stops calling the protocol with data, until :meth:`resume_reading`.
    fn pause_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        if !this.get().is_reading_now(py) {
            return Ok(());
        }
        this.get().reading.with(py, |reading| reading.paused = true);
        ReadPipeTransport::unwatch(this);
        this.get().pipe.debug_log(this, "debug", "%r pauses reading")
    }

    /// Goes on reading after :meth:`pause_reading`.
    fn resume_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let closing = this.get().pipe.state.with(py, |state| state.closing);
        let news =
            this.get().reading.with(py, |reading| !closing && std::mem::take(&mut reading.paused));
        if !news {
            return Ok(());
        }
        ReadPipeTransport::watch(this)?;
        this.get().pipe.debug_log(this, "debug", "%r resumes reading")
    }

    /// Whether the transport is neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.is_reading_now(py)
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
        let pipe = &this.get().pipe;
        let is_polling = pipe.state.with(this.py(), |state| state.reading);
        Ok(pipe.describe(this, is_polling)? + ">")
    }

    /// What ``isinstance`` falls back on: it is an :class:`asyncio.ReadTransport`.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        Ok(Asyncio::get(this.py())?.read_transport_class.clone_ref(this.py()))
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
    fn _paused(&self, py: Python<'_>) -> bool {
        self.reading.with(py, |reading| reading.paused)
    }

    /// What the loop does when the pipe is readable.
    fn _read_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        ReadPipeTransport::read_ready(this)
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
    /// A transport that reads ``pipe``: see :class:`ReadPipeTransport`.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_read_pipe_transport<'py>(
        this: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, ReadPipeTransport>> {
        ReadPipeTransport::__new__(this, pipe, protocol, waiter, extra)
    }
}

impl Finalize for ReadPipeTransport {
    fn finalize(this: &Bound<'_, Self>) {
        this.get().pipe.finalize(this, || ReadPipeTransport::unwatch(this));
    }
}

impl FinalizeOnDealloc for ReadPipeTransport {
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor> {
        static SLOT: OnceLock<ffi::destructor> = OnceLock::new();
        &SLOT
    }
}
