//! What the two pipe transports share: the pipe object that owns the descriptor, and its life.
use std::os::fd::{BorrowedFd, RawFd};

use boros::reactor::Direction;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, ffi, intern};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;

use super::{ReadPipeTransport, WritePipeTransport};
use crate::asyncio;
use crate::cell::{GilCell, Slot};
use crate::context::copy_current;
use crate::errors::os_error;
use crate::event_loop::Loop;
use crate::job::Target;

/// One of the two transports over a pipe, as the loop knows it.
pub(crate) enum PipeEnd {
    Read(Py<ReadPipeTransport>),
    Write(Py<WritePipeTransport>),
}

impl PipeEnd {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> PipeEnd {
        match self {
            PipeEnd::Read(transport) => PipeEnd::Read(transport.clone_ref(py)),
            PipeEnd::Write(transport) => PipeEnd::Write(transport.clone_ref(py)),
        }
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            PipeEnd::Read(transport) => visit.call(transport),
            PipeEnd::Write(transport) => visit.call(transport),
        }
    }

    pub(crate) fn as_any<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            PipeEnd::Read(transport) => transport.bind(py).clone().into_any(),
            PipeEnd::Write(transport) => transport.bind(py).clone().into_any(),
        }
    }

    /// The method that does what [`PipeEnd::ready`] does.
    pub(crate) fn method(direction: Direction) -> &'static str {
        match direction {
            Direction::Read => "_read_ready",
            Direction::Write => "_write_ready",
        }
    }

    /// Does what is to be done when the descriptor is ready.
    ///
    /// # Errors
    /// What the protocol raises.
    pub(crate) fn ready(&self, py: Python<'_>, direction: Direction) -> PyResult<()> {
        match (self, direction) {
            (PipeEnd::Read(transport), _) => ReadPipeTransport::read_ready(transport.bind(py)),
            (PipeEnd::Write(transport), Direction::Read) => {
                WritePipeTransport::peer_ready(transport.bind(py))
            }
            (PipeEnd::Write(transport), Direction::Write) => {
                WritePipeTransport::write_ready(transport.bind(py))
            }
        }
    }

    fn is(&self, other: &PipeEnd) -> bool {
        match (self, other) {
            (PipeEnd::Read(this), PipeEnd::Read(other)) => this.is(other),
            (PipeEnd::Write(this), PipeEnd::Write(other)) => this.is(other),
            _ => false,
        }
    }
}

/// What is behind a pipe's descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fifo,
    Socket,
    Character,
}

/// The object that a program calls a pipe, and who is told of it.
pub(super) struct Pipe {
    /// Empty once the pipe is closed, as `protocol` and `context`.
    pub(super) event_loop: Slot<Loop>,
    pub(super) protocol: Slot,
    /// What the protocol's callbacks run in.
    pub(super) context: Slot,
    /// Owns the descriptor. Taken out to be closed, once.
    pub(super) file: Slot,
    pub(super) extra: Slot<PyDict>,
    pub(super) fd: RawFd,
    pub(super) kind: Kind,
    /// Whether the descriptor was opened to write only.
    pub(super) is_write_only: bool,
    pub(super) state: GilCell<State>,
}

/// How far a pipe's life has come.
#[derive(Default)]
pub(super) struct State {
    pub(super) closing: bool,
    /// `connection_lost` is on its way, or was called.
    lost: bool,
    /// The loop watches for readability …
    pub(super) reading: bool,
    /// … and for writability.
    pub(super) writing: bool,
}

impl Pipe {
    /// Takes a pipe object, whose descriptor no longer blocks from now on.
    ///
    /// # Errors
    /// A `ValueError` that says `refusal` for what cannot be waited for, an `OSError` for a descriptor that is
    /// not open, a `RuntimeError` when the loop is closed.
    pub(super) fn open(
        event_loop: &Bound<'_, Loop>,
        file: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        extra: Option<Bound<'_, PyDict>>,
        refusal: &'static str,
    ) -> PyResult<Pipe> {
        let py = event_loop.py();
        event_loop.get().check_open()?;
        let fd: RawFd = file.call_method0(intern!(py, "fileno"))?.extract()?;
        if fd < 0 {
            return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
        }
        // SAFETY: no negative number; `file` has just said that it is open, and the calls below run no Python
        // code that could close it. Were that not true, they would fail.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let failed = |error: Errno| os_error(py, error.raw_os_error());
        let kind = match FileType::from_raw_mode(fstat(borrowed).map_err(failed)?.st_mode) {
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::Character,
            _ => return Err(PyValueError::new_err(refusal)),
        };
        let flags = fcntl_getfl(borrowed).map_err(failed)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(borrowed, flags | OFlags::NONBLOCK).map_err(failed)?;
        }
        let extra = match extra {
            Some(extra) => extra,
            None => PyDict::new(py),
        };
        extra.set_item(intern!(py, "pipe"), file)?;
        Ok(Pipe {
            event_loop: Slot::new(event_loop.clone().unbind()),
            protocol: Slot::new(protocol.clone().unbind()),
            context: Slot::new(copy_current(py)?),
            file: Slot::new(file.clone().unbind()),
            extra: Slot::new(extra.unbind()),
            fd,
            kind,
            is_write_only: flags & OFlags::RWMODE == OFlags::WRONLY,
            state: GilCell::new(State::default()),
        })
    }

    /// Has the protocol introduced, then `_start` of the transport called, then `waiter` set.
    pub(super) fn introduce(
        &self,
        this: &Bound<'_, PyAny>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let Some(protocol) = self.protocol.get(py) else { return Ok(()) };
        self.call_soon(py, (protocol.getattr(intern!(py, "connection_made"))?, this))?;
        self.call_soon(py, (this.getattr(intern!(py, "_start"))?,))?;
        if let Some(waiter) = waiter {
            let set = py.import("asyncio.futures")?.getattr("_set_result_unless_cancelled")?;
            self.call_soon(py, (set, waiter, py.None()))?;
        }
        Ok(())
    }

    /// `loop.call_soon(*args)`.
    fn call_soon<'py>(&self, py: Python<'py>, args: impl PyCallArgs<'py>) -> PyResult<()> {
        match self.event_loop.get(py) {
            Some(event_loop) => event_loop.call_method1(intern!(py, "call_soon"), args).map(drop),
            None => Ok(()),
        }
    }

    /// Has the protocol told of the end of the data, then of the end of the connection.
    pub(super) fn schedule_end(&self, this: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let told = match self.protocol.get(py) {
            Some(protocol) => self.call_soon(py, (protocol.getattr(intern!(py, "eof_received"))?,)),
            None => Ok(()),
        };
        told.and(self.schedule_loss(this, None))
    }

    /// Lends the descriptor to `f`, which must not run Python code.
    ///
    /// # Errors
    /// An `OSError` when somebody else has closed the pipe: its number may be in use again.
    pub(super) fn with_descriptor<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(BorrowedFd<'_>) -> R,
    ) -> PyResult<R> {
        let number = match self.file.get(py) {
            Some(file) => file
                .call_method0(intern!(py, "fileno"))
                .and_then(|number| number.extract::<RawFd>())
                .unwrap_or(-1),
            None => -1,
        };
        if number != self.fd {
            return Err(os_error(py, Errno::BADF.raw_os_error()));
        }
        // SAFETY: its owner has just said that it is open; `f` runs no Python code and the GIL stays held.
        Ok(f(unsafe { BorrowedFd::borrow_raw(self.fd) }))
    }

    /// Has the loop tell `end` of readiness.
    ///
    /// # Errors
    /// What the system says against it: the number, or none when the loop is closed.
    pub(super) fn watch(
        &self,
        py: Python<'_>,
        end: PipeEnd,
        direction: Direction,
    ) -> Result<(), Option<i32>> {
        let Some(event_loop) = self.event_loop.get(py) else { return Ok(()) };
        let target = Target::Pipe(end);
        let result = event_loop.get().engine(py, |engine| engine.watch(self.fd, direction, target));
        match result {
            None => Err(None),
            Some(Ok(previous)) => {
                // One that waited for an earlier file of this number, and did not say when that was closed.
                if let Err(error) = crate::watch::retire(py, previous) {
                    error.write_unraisable(py, Some(event_loop.as_any()));
                }
                Ok(())
            }
            Some(Err((error, target))) => {
                drop(target);
                Err(error.raw_os_error())
            }
        }
    }

    /// Ends what [`Pipe::watch`] began, unless somebody else waits for that number by now.
    pub(super) fn unwatch(&self, py: Python<'_>, end: &PipeEnd, direction: Direction) {
        let Some(event_loop) = self.event_loop.get(py) else { return };
        let previous = event_loop.get().engine(py, |engine| {
            let mine = match engine.watcher(self.fd, direction) {
                Some(Target::Pipe(watching)) => watching.is(end),
                _ => false,
            };
            if mine { engine.unwatch(self.fd, direction) } else { None }
        });
        drop(previous);
    }

    /// Whether the loop runs no callbacks any more.
    pub(super) fn is_stranded(&self, py: Python<'_>) -> bool {
        self.event_loop.get(py).is_none_or(|event_loop| event_loop.get().is_closed())
    }

    pub(super) fn is_debug(&self, py: Python<'_>) -> bool {
        self.event_loop.get(py).is_some_and(|event_loop| event_loop.get().is_debug())
    }

    /// Logs `message` about the transport, in debug mode.
    pub(super) fn debug_log(
        &self,
        this: &Bound<'_, PyAny>,
        level: &str,
        message: &str,
    ) -> PyResult<()> {
        if self.is_debug(this.py()) {
            asyncio::logger(this.py())?.call_method1(level, (message, this))?;
        }
        Ok(())
    }

    /// Has `connection_lost(error)` called soon, once. On a closed loop nobody is told: the pipe is closed now.
    pub(super) fn schedule_loss(
        &self,
        this: &Bound<'_, PyAny>,
        error: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let was_lost = self.state.with(py, |state| {
            state.closing = true;
            std::mem::replace(&mut state.lost, true)
        });
        if was_lost {
            return Ok(());
        }
        if self.is_stranded(py) {
            return self.release(py);
        }
        self.call_soon(py, (this.getattr(intern!(py, "_call_connection_lost"))?, error))
    }

    /// Tells the protocol that it is over, and closes the pipe.
    ///
    /// # Errors
    /// What `connection_lost` raises.
    pub(super) fn lose(&self, py: Python<'_>, error: Option<Py<PyAny>>) -> PyResult<()> {
        if !self.file.is_some(py) {
            return Ok(());
        }
        self.state.with(py, |state| {
            state.closing = true;
            state.lost = true;
        });
        let told = match self.protocol.get(py) {
            Some(protocol) => {
                protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop)
            }
            None => Ok(()),
        };
        told.and(self.release(py))
    }

    /// Closes the pipe and lets go of everything.
    pub(super) fn release(&self, py: Python<'_>) -> PyResult<()> {
        let closed = match self.file.take(py) {
            Some(file) => file.bind(py).call_method0(intern!(py, "close")).map(drop),
            None => Ok(()),
        };
        self.protocol.set(py, None);
        self.context.set(py, None);
        self.event_loop.set(py, None);
        closed
    }

    /// Reports `error`, in debug mode only if it `is_usual`. The caller closes the pipe.
    #[cold]
    pub(super) fn report(
        &self,
        this: &Bound<'_, PyAny>,
        message: &str,
        exception: &Bound<'_, PyAny>,
        is_usual: bool,
    ) -> PyResult<()> {
        let py = this.py();
        if is_usual {
            if self.is_debug(py) {
                let kwargs = PyDict::new(py);
                kwargs.set_item(intern!(py, "exc_info"), exception)?;
                let args = ("%r: %s", this, message);
                asyncio::logger(py)?.call_method(intern!(py, "debug"), args, Some(&kwargs))?;
            }
            return Ok(());
        }
        let Some(event_loop) = self.event_loop.get(py) else { return Ok(()) };
        let context = PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", exception)?;
        context.set_item("transport", this)?;
        context.set_item("protocol", self.protocol.get(py))?;
        asyncio::call_exception_handler(event_loop.as_any(), &context)
    }

    /// What `repr` says of the pipe, before what is particular to an end.
    pub(super) fn describe(&self, this: &Bound<'_, PyAny>, is_polling: bool) -> PyResult<String> {
        let py = this.py();
        let mut text = format!("<{}", this.get_type().name()?);
        let is_open = self.file.is_some(py);
        if !is_open {
            text += " closed";
        } else if self.state.with(py, |state| state.closing) {
            text += " closing";
        }
        text += &format!(" fd={}", self.fd);
        text += match (is_open, self.is_stranded(py)) {
            (true, false) if is_polling => " polling",
            (true, false) => " idle",
            (true, true) => " open",
            (false, _) => " closed",
        };
        Ok(text)
    }

    /// What a finalizer does with a transport that was not closed.
    pub(super) fn finalize(&self, this: &Bound<'_, PyAny>, unwatch: impl FnOnce()) {
        let py = this.py();
        if !self.file.is_some(py) {
            return;
        }
        // The interpreter's own function also works when it has begun to shut down.
        // SAFETY: the GIL is held; the format takes one object.
        let status = unsafe {
            let text = c"unclosed transport %R".as_ptr();
            ffi::PyErr_ResourceWarning(this.as_ptr(), 1, text, this.as_ptr())
        };
        let warned = if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) };
        unwatch();
        for result in [warned, self.release(py)] {
            if let Err(error) = result {
                error.write_unraisable(py, Some(this));
            }
        }
    }

    pub(super) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(visit)?;
        self.protocol.traverse(visit)?;
        self.context.traverse(visit)?;
        self.file.traverse(visit)?;
        self.extra.traverse(visit)
    }

    pub(super) fn clear(&self) {
        self.protocol.clear();
        self.context.clear();
        self.file.clear();
        self.extra.clear();
        self.event_loop.clear();
    }
}

/// Whether `exception` is an `OSError`, and one with the number `errno` if that is asked for.
pub(super) fn is_os_error(exception: &Bound<'_, PyAny>, errno: Option<Errno>) -> bool {
    if !exception.is_instance_of::<PyOSError>() {
        return false;
    }
    let Some(errno) = errno else { return true };
    exception
        .getattr(intern!(exception.py(), "errno"))
        .and_then(|number| number.extract::<i32>())
        .is_ok_and(|number| number == errno.raw_os_error())
}
