//! `WritePipeTransport`: the end of a pipe that is written.
use std::sync::OnceLock;

use boros::reactor::Direction;
use pyo3::exceptions::{PyBrokenPipeError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{ffi, intern};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::flow::Flow;
use super::pipe::{Kind, Pipe, PipeEnd, is_os_error};
use super::via::Via;
use super::write_buffer::{Sent, WriteBuffer};
use crate::asyncio;
use crate::cell::GilCell;
use crate::context::run_in;
use crate::errors::os_error;
use crate::finalizer::{Finalize, FinalizeOnDealloc};

const WRITE_ERROR: &str = "Fatal write error on pipe transport";

/// Writes to a pipe, a socket or a character device, and notices when nobody is left to read.
///
/// While it waits for readiness the loop holds it. A transport that is dropped while it is open closes its
/// pipe and warns.
#[pyclass(frozen, weakref, dict, module = "boros._boros", name = "WritePipeTransport")]
pub(crate) struct WritePipeTransport {
    pub(super) pipe: Pipe,
    pub(super) writing: GilCell<Writing>,
}

pub(super) struct Writing {
    pub(super) buffer: WriteBuffer,
    pub(super) flow: Flow,
    /// Writes that were dropped, and failures.
    pub(super) lost: usize,
}

/// What becomes of data that was written.
enum Put {
    /// Nothing waits before it: it can be sent.
    First,
    /// It waits with what is in the buffer.
    Kept,
    /// Nobody reads any more. How many writes that was true of.
    Lost(usize),
}

impl WritePipeTransport {
    fn end(this: &Bound<'_, Self>) -> PipeEnd {
        PipeEnd::Write(this.clone().unbind())
    }

    /// Has the loop tell when the other end is closed, where the system makes that look like readability.
    pub(super) fn watch_peer(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, pipe) = (this.py(), &this.get().pipe);
        let is_told = match pipe.kind {
            // One that was opened to be read as well is its own reader.
            Kind::Fifo => pipe.is_write_only,
            Kind::Socket => true,
            Kind::Character => false,
        };
        let wanted = pipe.state.with(py, |state| {
            let wanted = is_told && !state.closing && !state.reading;
            state.reading |= wanted;
            wanted
        });
        if wanted { WritePipeTransport::watch(this, Direction::Read) } else { Ok(()) }
    }

    fn watch_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        let state = &this.get().pipe.state;
        if state.with(this.py(), |state| std::mem::replace(&mut state.writing, true)) {
            return Ok(());
        }
        WritePipeTransport::watch(this, Direction::Write)
    }

    fn watch(this: &Bound<'_, Self>, direction: Direction) -> PyResult<()> {
        let (py, pipe) = (this.py(), &this.get().pipe);
        // A number that is another's by now must not be waited for.
        let watched = match pipe.with_descriptor(py, |_| ()) {
            Err(error) => Err(error),
            Ok(()) => match pipe.watch(py, WritePipeTransport::end(this), direction) {
                Ok(()) => Ok(()),
                Err(Some(number)) => Err(os_error(py, number)),
                Err(None) => Err(PyRuntimeError::new_err("Event loop is closed")),
            },
        };
        let Err(error) = watched else { return Ok(()) };
        pipe.state.with(py, |state| match direction {
            Direction::Read => state.reading = false,
            Direction::Write => state.writing = false,
        });
        WritePipeTransport::fatal_error(this, error, WRITE_ERROR)
    }

    fn unwatch_peer(this: &Bound<'_, Self>) {
        let (py, pipe) = (this.py(), &this.get().pipe);
        if pipe.state.with(py, |state| std::mem::take(&mut state.reading)) {
            pipe.unwatch(py, &WritePipeTransport::end(this), Direction::Read);
        }
    }

    fn unwatch_writing(this: &Bound<'_, Self>) {
        let (py, pipe) = (this.py(), &this.get().pipe);
        if pipe.state.with(py, |state| std::mem::take(&mut state.writing)) {
            pipe.unwatch(py, &WritePipeTransport::end(this), Direction::Write);
        }
    }

    /// Gives the kernel what it takes of the buffer.
    fn send(&self, py: Python<'_>) -> PyResult<Sent> {
        let via = if self.pipe.kind == Kind::Socket { Via::Socket } else { Via::File };
        self.pipe.with_descriptor(py, |fd| {
            self.writing.with(py, |writing| writing.buffer.send_via(py, fd, via))
        })
    }

    pub(super) fn write_piece(this: &Bound<'_, Self>, piece: &Bound<'_, PyBytes>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        if piece.as_bytes().is_empty() {
            return Ok(());
        }
        let closing = transport.pipe.state.with(py, |state| state.closing);
        let put = transport.writing.with(py, |writing| {
            if closing || writing.lost > 0 {
                writing.lost += 1;
                return Put::Lost(writing.lost - 1);
            }
            let is_first = writing.buffer.is_empty();
            writing.buffer.push(piece);
            if is_first { Put::First } else { Put::Kept }
        });
        match put {
            Put::Lost(count) => return warn_lost(py, count),
            Put::Kept => {}
            Put::First => match transport.send(py) {
                Ok(Sent::All) => return Ok(()),
                Ok(Sent::Part) => WritePipeTransport::watch_writing(this)?,
                Ok(Sent::Failed(error)) => {
                    let error = os_error(py, error.raw_os_error());
                    return WritePipeTransport::write_failed(this, error);
                }
                Err(error) => return WritePipeTransport::write_failed(this, error),
            },
        }
        WritePipeTransport::pause_protocol(this)
    }

    #[cold]
    pub(super) fn write_failed(this: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        this.get().writing.with(this.py(), |writing| writing.lost += 1);
        WritePipeTransport::fatal_error(this, error, WRITE_ERROR)
    }

    /// Sends more, since the pipe has room again.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    pub(crate) fn write_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        if !transport.pipe.state.with(py, |state| state.writing) {
            return Ok(());
        }
        match transport.send(py) {
            // Before the protocol resumes: what it writes then starts anew.
            Ok(Sent::All) => WritePipeTransport::unwatch_writing(this),
            Ok(Sent::Part) => {}
            Ok(Sent::Failed(error)) => {
                let error = os_error(py, error.raw_os_error());
                return WritePipeTransport::write_failed(this, error);
            }
            Err(error) => return WritePipeTransport::write_failed(this, error),
        }
        let resumed = WritePipeTransport::resume_protocol(this);
        let drained = transport.writing.with(py, |writing| writing.buffer.is_empty());
        if !drained || !transport.pipe.state.with(py, |state| state.closing) {
            return resumed;
        }
        WritePipeTransport::unwatch_peer(this);
        let Some(context) = transport.pipe.context.get(py) else { return resumed };
        resumed.and(run_in(&context, || transport.pipe.lose(py, None)))
    }

    /// Closes the transport if the other end is closed.
    ///
    /// # Errors
    /// What the exception handler raises.
    pub(crate) fn peer_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        let pipe = &transport.pipe;
        if !pipe.state.with(py, |state| state.reading) {
            return Ok(());
        }
        if pipe.kind == Kind::Socket {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            match pipe.with_descriptor(py, |fd| recv(fd, &mut [0_u8], flags)) {
                Ok(Err(Errno::AGAIN | Errno::INTR)) => return Ok(()),
                Ok(Ok((_, 1..))) => {
                    // The other end talks, too. That nobody reads it does not mean that it has left; a
                    // write will tell.
                    WritePipeTransport::unwatch_peer(this);
                    return Ok(());
                }
                _ => {}
            }
        }
        pipe.debug_log(this, "info", "%r was closed by peer")?;
        let error = if transport.writing.with(py, |writing| writing.buffer.is_empty()) {
            None
        } else {
            Some(PyBrokenPipeError::new_err(()).into_value(py).into_any())
        };
        WritePipeTransport::close_now(this, error)
    }

    pub(super) fn pause_protocol(this: &Bound<'_, Self>) -> PyResult<()> {
        let wanted = this
            .get()
            .writing
            .with(this.py(), |writing| writing.flow.must_pause(writing.buffer.len()));
        if wanted { WritePipeTransport::tell(this, "pause_writing") } else { Ok(()) }
    }

    fn resume_protocol(this: &Bound<'_, Self>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        let wanted =
            transport.writing.with(py, |writing| writing.flow.may_resume(writing.buffer.len()));
        if !wanted {
            return Ok(());
        }
        let Some(context) = transport.pipe.context.get(py) else { return Ok(()) };
        run_in(&context, || WritePipeTransport::tell(this, "resume_writing"))
    }

    fn tell(this: &Bound<'_, Self>, method: &str) -> PyResult<()> {
        let py = this.py();
        let Some(protocol) = this.get().pipe.protocol.get(py) else { return Ok(()) };
        let Err(error) = protocol.call_method0(method) else { return Ok(()) };
        if asyncio::must_propagate(py, &error) {
            return Err(error);
        }
        let exception = error.into_value(py).into_bound(py).into_any();
        let message = format!("protocol.{method}() failed");
        this.get().pipe.report(this, &message, &exception, false)
    }

    /// Reports `error`, unless it is the system's, and closes the pipe.
    #[cold]
    fn fatal_error(this: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let exception = error.into_value(this.py()).into_bound(this.py()).into_any();
        let is_usual = is_os_error(&exception, None);
        let reported = this.get().pipe.report(this, message, &exception, is_usual);
        reported.and(WritePipeTransport::close_now(this, Some(exception.unbind())))
    }

    /// Closes without sending what is buffered.
    pub(super) fn close_now(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let (py, transport) = (this.py(), this.get());
        transport.pipe.state.with(py, |state| state.closing = true);
        transport.writing.with(py, |writing| writing.buffer.clear());
        WritePipeTransport::unwatch_writing(this);
        WritePipeTransport::unwatch_peer(this);
        transport.pipe.schedule_loss(this, error)
    }
}

#[cold]
fn warn_lost(py: Python<'_>, count: usize) -> PyResult<()> {
    let threshold: usize =
        py.import("asyncio.constants")?.getattr("LOG_THRESHOLD_FOR_CONNLOST_WRITES")?.extract()?;
    if count >= threshold {
        let message = "pipe closed by peer or os.write(pipe, data) raised exception.";
        asyncio::logger(py)?.call_method1(intern!(py, "warning"), (message,))?;
    }
    Ok(())
}

impl Finalize for WritePipeTransport {
    fn finalize(this: &Bound<'_, Self>) {
        this.get().pipe.finalize(this, || {
            WritePipeTransport::unwatch_writing(this);
            WritePipeTransport::unwatch_peer(this);
        });
    }
}

impl FinalizeOnDealloc for WritePipeTransport {
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor> {
        static SLOT: OnceLock<ffi::destructor> = OnceLock::new();
        &SLOT
    }
}
