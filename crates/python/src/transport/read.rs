//! Reading: one system call per readiness.
use std::os::fd::BorrowedFd;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{ffi, intern};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::StreamTransport;
use super::stream::os_error;
use crate::asyncio;
use crate::context::run_in;

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
        Some(event_loop.get().streams().scratch(py, |scratch| {
            let count = receive(fd, scratch)?;
            // SAFETY: the GIL is held, and the first `count` bytes are initialised. Making a `bytes` object
            // runs no Python code.
            Ok((count, unsafe {
                ffi::PyBytes_FromStringAndSize(scratch.as_ptr().cast(), count as ffi::Py_ssize_t)
            }))
        }))
    });
    let (count, data) = match received {
        None | Some(Err(Errno::AGAIN)) => return Ok(()),
        Some(Ok(received)) => received,
        Some(Err(error)) => {
            return StreamTransport::fatal_error(
                this,
                os_error(py, error.raw_os_error()),
                READ_ERROR,
            );
        }
    };
    // SAFETY: a new reference, or NULL with an exception set.
    let data = match unsafe { Bound::from_owned_ptr_or_err(py, data) } {
        Ok(data) => data,
        Err(error) => return StreamTransport::fatal_error(this, error, READ_ERROR),
    };
    if count == 0 {
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
        transport.state.with(py, |state| state.descriptor().map(|fd| receive(fd, slice)))
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

/// Never blocks, also where the program has made the socket blocking.
fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match recv(fd, &mut *buffer, RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            Ok((count, _)) => return Ok(count),
            Err(error) => return Err(error),
        }
    }
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
