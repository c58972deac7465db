//! Writing: kept until the end of the job, then sent in one system call; what the kernel does not take waits.
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use pyo3::{ffi, intern};
use rustix::net::{Shutdown, shutdown};

use super::StreamTransport;
use super::endpoint::Endpoint;
use super::flow::HIGH_WATER;
use super::write_buffer::Sent;
use crate::asyncio;
use crate::context::run_in;
use crate::errors::os_error;

const WRITE_ERROR: &str = "Fatal write error on socket transport";

/// `Transport.write`.
///
/// # Errors
/// A `TypeError` for what is no bytes-like object, a `RuntimeError` after `write_eof`.
pub(super) fn write(this: &Bound<'_, StreamTransport>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    check_data(data)?;
    check_may_write(this, "write")?;
    if let Ok(piece) = data.cast_exact::<PyBytes>() {
        return write_piece(this, piece);
    }
    match copied(data) {
        Ok(piece) => write_piece(this, &piece),
        Err(error) => StreamTransport::fatal_error(this, error, WRITE_ERROR),
    }
}

/// Checks the type of what a program wants to send.
///
/// # Errors
/// A `TypeError` for what is no bytes, bytearray or memoryview.
#[inline]
pub(super) fn check_data(data: &Bound<'_, PyAny>) -> PyResult<()> {
    if data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
    {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "data argument must be a bytes-like object, not {}",
        data.get_type().name()?.repr()?
    )))
}

/// `Transport.writelines`.
///
/// # Errors
/// As [`write`], and what iterating raises; nothing was written then.
pub(super) fn writelines(
    this: &Bound<'_, StreamTransport>,
    lines: &Bound<'_, PyAny>,
) -> PyResult<()> {
    check_may_write(this, "writelines")?;
    let mut pieces = Vec::new();
    for line in lines.try_iter()? {
        let line = line?;
        match line.cast_exact::<PyBytes>() {
            Ok(piece) => pieces.push(piece.clone()),
            Err(_) => pieces.push(copied(&line)?),
        }
    }
    pieces.iter().try_for_each(|piece| write_piece(this, piece))
}

/// Raises unless `method` may send something now.
pub(super) fn check_may_write(this: &Bound<'_, StreamTransport>, method: &str) -> PyResult<()> {
    let (eof, sends_file) = this.get().state.with(this.py(), |state| (state.eof, state.sends_file));
    if eof {
        return Err(PyRuntimeError::new_err(format!("Cannot call {method}() after write_eof()")));
    }
    if sends_file {
        return Err(PyRuntimeError::new_err(format!(
            "unable to {method}; sendfile is in progress"
        )));
    }
    Ok(())
}

/// What becomes of data that was written.
enum Put {
    /// It is in the buffer, and somebody will see to that.
    Kept,
    /// It is in the buffer, which holds enough to be sent now.
    Full,
    /// The transport has to be flushed at the end of the job.
    Dirty,
    /// There is no connection any more. How many writes that was true of.
    Lost(usize),
}

fn write_piece(this: &Bound<'_, StreamTransport>, piece: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = this.py();
    if piece.as_bytes().is_empty() {
        return Ok(());
    }
    let put = this.get().state.with(py, |state| {
        if state.lost > 0 {
            state.lost += 1;
            return Put::Lost(state.lost - 1);
        }
        state.buffer.push(piece);
        if state.buffer.len() > state.flow.high.min(HIGH_WATER) {
            Put::Full
        } else if state.writing || state.dirty {
            Put::Kept
        } else {
            state.dirty = true;
            Put::Dirty
        }
    });
    match put {
        Put::Kept => Ok(()),
        Put::Dirty => {
            let deferred = match this.get().event_loop.get(py) {
                Some(event_loop) => event_loop.get().streams().defer(this),
                None => false,
            };
            if deferred { Ok(()) } else { flush(this) }
        }
        // Only now does asyncio ask the protocol to pause: when the kernel has had its chance.
        Put::Full => flush(this).and_then(|()| pause_protocol(this)),
        Put::Lost(count) => warn_lost(py, count),
    }
}

#[cold]
pub(super) fn warn_lost(py: Python<'_>, count: usize) -> PyResult<()> {
    let threshold: usize =
        py.import("asyncio.constants")?.getattr("LOG_THRESHOLD_FOR_CONNLOST_WRITES")?.extract()?;
    if count >= threshold {
        asyncio::logger(py)?
            .call_method1(intern!(py, "warning"), ("socket.send() raised exception.",))?;
    }
    Ok(())
}

/// Sends what the job wrote, at its end.
pub(super) fn flush_dirty(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    if this.get().state.with(this.py(), |state| state.dirty) { flush(this) } else { Ok(()) }
}

/// Gives the kernel what it takes of the buffer. The rest waits for writability.
///
/// # Errors
/// What the loop's exception handler raises.
pub(super) fn flush(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let sent = this.get().state.with(py, |state| {
        state.dirty = false;
        if state.lost > 0 || state.writing {
            return Sent::All;
        }
        state.send(py)
    });
    match sent {
        Sent::All => Ok(()),
        Sent::Part => StreamTransport::watch_writing(this),
        Sent::Failed(error) => {
            StreamTransport::fatal_error(this, os_error(py, error.raw_os_error()), WRITE_ERROR)
        }
    }
}

/// Sends more, since the kernel has room again.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
pub(crate) fn write_ready(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let transport = this.get();
    let sent = transport
        .state
        .with(py, |state| (state.lost == 0 && state.writing).then(|| state.send(py)));
    match sent {
        None => return Ok(()),
        Some(Sent::Failed(error)) => {
            let error = os_error(py, error.raw_os_error());
            return StreamTransport::fatal_error(this, error, WRITE_ERROR);
        }
        // Before the protocol resumes: what it writes then starts anew.
        Some(Sent::All) => StreamTransport::unwatch_writing(this),
        Some(Sent::Part) => {}
    }
    let mut resumed = resume_protocol(this);
    if transport.state.with(py, |state| state.closing && state.dirty) {
        // Its last words: nobody would look after the end of this job whether the connection is to end.
        resumed = resumed.and(flush(this));
    }
    let (drained, closing, eof, sends_file) = transport.state.with(py, |state| {
        let drained = state.buffer.is_empty() && state.lost == 0;
        (drained, state.closing, state.eof, state.sends_file)
    });
    if drained && closing {
        transport.state.with(py, |state| state.lost += 1);
        return resumed.and(StreamTransport::lose(this, None));
    }
    if drained && sends_file {
        // It may end the connection for writing when the file is sent.
        return resumed.and(StreamTransport::wake_sender(this));
    }
    if drained
        && eof
        && let Err(error) = end(this)
    {
        // The connection broke meanwhile, and no caller is there to be told.
        return resumed.and(StreamTransport::fatal_error(this, error, WRITE_ERROR));
    }
    resumed
}

/// `Transport.write_eof`.
pub(super) fn write_eof(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let news = this.get().state.with(py, |state| {
        let news = !state.closing && !state.eof;
        state.eof |= news;
        news
    });
    if !news {
        return Ok(());
    }
    flush(this)?;
    let drained = this
        .get()
        .state
        .with(py, |state| state.buffer.is_empty() && state.lost == 0 && !state.sends_file);
    if drained { end(this) } else { Ok(()) }
}

/// Tells the peer that nothing more comes.
pub(super) fn end(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let result = this
        .get()
        .state
        .with(py, |state| state.descriptor().map(|fd| shutdown(fd, Shutdown::Write)));
    match result {
        Some(Err(error)) => Err(os_error(py, error.raw_os_error())),
        _ => Ok(()),
    }
}

/// Asks the protocol to pause if the buffer is above its limit.
pub(super) fn pause_protocol(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let wanted =
        this.get().state.with(this.py(), |state| state.flow.must_pause(state.buffer.len()));
    if wanted { StreamTransport::tell(this, "pause_writing") } else { Ok(()) }
}

/// Lets the protocol go on if the buffer is below its limit.
fn resume_protocol(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let wanted =
        this.get().state.with(this.py(), |state| state.flow.may_resume(state.buffer.len()));
    if !wanted {
        return Ok(());
    }
    let Some(context) = this.get().context.get(this.py()) else { return Ok(()) };
    run_in(&context, || StreamTransport::tell(this, "resume_writing"))
}

/// A copy of the bytes behind any buffer, for a program may change them before they are sent.
pub(super) fn copied<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    let mut view = std::mem::MaybeUninit::<ffi::Py_buffer>::uninit();
    // SAFETY: the GIL is held; `view` is filled on success only, stays where it is, and is released. The
    // result is a new reference to a `bytes` object, or NULL with an exception set.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE) < 0 {
            return Err(PyErr::fetch(py));
        }
        let view = view.assume_init_mut();
        let bytes = ffi::PyBytes_FromStringAndSize(view.buf.cast(), view.len);
        ffi::PyBuffer_Release(view);
        Ok(Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked())
    }
}
