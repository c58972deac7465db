//! Reading: one system call per readiness.
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi::compat;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{ffi, intern};
use rustix::io::Errno;

use super::StreamTransport;
use super::streams::MAX_READ;
use super::via::Via;
use crate::asyncio;
use crate::context::run_in;
use crate::errors::os_error;

/// Where reads of this many bytes are expected, they are not copied.
pub(super) const LARGE_READ: usize = 32 * 1024;

const READ_ERROR: &str = "Fatal read error on socket transport";

/// Reads once and tells the protocol, in the transport's context.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
pub(crate) fn read_ready(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let transport = this.get();
    let (reading, lends_buffer) =
        transport.state.with(py, |state| (state.reading && state.lost == 0, state.lends_buffer));
    if !reading {
        // Paused or closed by a job of the same turn.
        return Ok(());
    }
    let Some(context) = transport.context.get(py) else { return Ok(()) };
    run_in(&context, || if lends_buffer { read_into(this) } else { read_bytes(this) })
}

fn read_bytes(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let transport = this.get();
    let Some(event_loop) = transport.event_loop.get(py) else { return Ok(()) };
    let received = transport.state.with(py, |state| {
        let fd = state.descriptor()?;
        let received = if state.expected < LARGE_READ {
            event_loop.get().streams().scratch(py, |scratch| copy_in(py, fd, Via::Socket, scratch))
        } else {
            take_in(py, fd, Via::Socket, state.expected)
        };
        if let Ok(data) = &received {
            let count = data.as_bytes().len();
            // Room for one more byte tells a message of this size from the beginning of a longer one.
            state.expected = (count + 1).next_power_of_two().min(MAX_READ);
        }
        Some(received)
    });
    let data = match received {
        None | Some(Err(Failed::Read(Errno::AGAIN))) => return Ok(()),
        Some(Ok(data)) => data,
        Some(Err(Failed::Read(error))) => {
            let error = os_error(py, error.raw_os_error());
            return StreamTransport::fatal_error(this, error, READ_ERROR);
        }
        Some(Err(Failed::Memory)) => {
            return StreamTransport::fatal_error(this, PyErr::fetch(py), READ_ERROR);
        }
    };
    if data.as_bytes().is_empty() {
        return read_eof(this);
    }
    let Some(protocol) = transport.protocol.get(py) else { return Ok(()) };
    match protocol.call_method1(intern!(py, "data_received"), (data,)) {
        Ok(_) => Ok(()),
        Err(error) => {
            callback_failed(this, error, "Fatal error: protocol.data_received() call failed.")
        }
    }
}

/// Why there is no data.
pub(super) enum Failed {
    Read(Errno),
    /// An exception is set.
    Memory,
}

/// Reads by way of a buffer that all share: the `bytes` object is as small as what came.
pub(super) fn copy_in<'py>(
    py: Python<'py>,
    fd: BorrowedFd<'_>,
    via: Via,
    scratch: &mut [u8],
) -> Result<Bound<'py, PyBytes>, Failed> {
    let count = via.read(fd, scratch).map_err(Failed::Read)?;
    // SAFETY: the GIL is held, and the first `count` bytes are initialised. Making a `bytes` object runs no
    // Python code; it is a new reference, or NULL with an exception set.
    unsafe {
        let data =
            ffi::PyBytes_FromStringAndSize(scratch.as_ptr().cast(), count as ffi::Py_ssize_t);
        let data = Bound::from_owned_ptr_or_opt(py, data).ok_or(Failed::Memory)?;
        Ok(data.cast_into_unchecked())
    }
}

/// Reads into a new `bytes` object of `size` bytes, which is cut to what came: for much data that costs less
/// than a copy.
pub(super) fn take_in<'py>(
    py: Python<'py>,
    fd: BorrowedFd<'_>,
    via: Via,
    size: usize,
) -> Result<Bound<'py, PyBytes>, Failed> {
    // SAFETY: the GIL is held. The writer's memory is nobody else's and may be written up to `size`; what the
    // kernel did not write is cut off. None of these calls runs Python code, and each path ends the writer.
    unsafe {
        let writer = compat::PyBytesWriter_Create(size as ffi::Py_ssize_t);
        if writer.is_null() {
            return Err(Failed::Memory);
        }
        let memory = compat::PyBytesWriter_GetData(writer).cast::<MaybeUninit<u8>>();
        match via.read_uninit(fd, std::slice::from_raw_parts_mut(memory, size)) {
            Ok(count) => {
                let data = compat::PyBytesWriter_FinishWithSize(writer, count as ffi::Py_ssize_t);
                let data = Bound::from_owned_ptr_or_opt(py, data).ok_or(Failed::Memory)?;
                Ok(data.cast_into_unchecked())
            }
            Err(error) => {
                compat::PyBytesWriter_Discard(writer);
                Err(Failed::Read(error))
            }
        }
    }
}

fn read_into(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    let transport = this.get();
    let Some(protocol) = transport.protocol.get(py) else { return Ok(()) };
    let buffer = protocol.call_method1(intern!(py, "get_buffer"), (-1,)).and_then(|buffer| {
        if buffer.len()? == 0 {
            return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
        }
        Ok(buffer)
    });
    let buffer = match buffer {
        Ok(buffer) => buffer,
        Err(error) => {
            let message = "Fatal error: protocol.get_buffer() call failed.";
            return callback_failed(this, error, message);
        }
    };
    let received = with_writable(&buffer, |slice| {
        transport.state.with(py, |state| state.descriptor().map(|fd| Via::Socket.read(fd, slice)))
    });
    let count = match received {
        Ok(None | Some(Err(Errno::AGAIN))) => return Ok(()),
        Ok(Some(Ok(count))) => count,
        Ok(Some(Err(error))) => {
            return StreamTransport::fatal_error(
                this,
                os_error(py, error.raw_os_error()),
                READ_ERROR,
            );
        }
        Err(error) => return callback_failed(this, error, READ_ERROR),
    };
    if count == 0 {
        return read_eof(this);
    }
    // It may be another one since `get_buffer`.
    let Some(protocol) = transport.protocol.get(py) else { return Ok(()) };
    match protocol.call_method1(intern!(py, "buffer_updated"), (count,)) {
        Ok(_) => Ok(()),
        Err(error) => {
            callback_failed(this, error, "Fatal error: protocol.buffer_updated() call failed.")
        }
    }
}

fn read_eof(this: &Bound<'_, StreamTransport>) -> PyResult<()> {
    let py = this.py();
    StreamTransport::debug_log(this, "%r received EOF")?;
    let Some(protocol) = this.get().protocol.get(py) else { return Ok(()) };
    let keep_open = protocol
        .call_method0(intern!(py, "eof_received"))
        .and_then(|keep_open| keep_open.is_truthy());
    match keep_open {
        Ok(true) => {
            // The protocol may go on writing; there is nothing more to read.
            StreamTransport::unwatch_reading(this);
            Ok(())
        }
        Ok(false) => StreamTransport::close_gracefully(this),
        Err(error) => {
            callback_failed(this, error, "Fatal error: protocol.eof_received() call failed.")
        }
    }
}

#[cold]
fn callback_failed(this: &Bound<'_, StreamTransport>, error: PyErr, message: &str) -> PyResult<()> {
    if asyncio::must_propagate(this.py(), &error) {
        return Err(error);
    }
    StreamTransport::fatal_error(this, error, message)
}

/// Lends `f` the memory of an object with a writable buffer. `f` must not run Python code.
fn with_writable<R>(object: &Bound<'_, PyAny>, f: impl FnOnce(&mut [u8]) -> R) -> PyResult<R> {
    let py = object.py();
    let mut view = std::mem::MaybeUninit::<ffi::Py_buffer>::uninit();
    // SAFETY: the GIL is held; `view` is filled on success only, stays where it is, and is released below.
    // While it is held the memory is valid for `len` bytes, and nobody else runs who could touch it.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_WRITABLE) < 0 {
            return Err(PyErr::fetch(py));
        }
        let view = view.assume_init_mut();
        let len = usize::try_from(view.len).unwrap_or(0);
        let slice = if len == 0 {
            &mut []
        } else {
            std::slice::from_raw_parts_mut(view.buf.cast::<u8>(), len)
        };
        let result = f(slice);
        ffi::PyBuffer_Release(view);
        Ok(result)
    }
}
