//! A file on its way out through a transport: `loop.sendfile` writes to the descriptor itself meanwhile.
//!
//! The Python side makes the system calls; here is what it waits for, and what keeps others from writing between.
use pyo3::exceptions::PyConnectionError;
use pyo3::intern;
use pyo3::prelude::*;

use super::StreamTransport;
use super::write;

impl StreamTransport {
    /// Tells who sends a file that the kernel has room.
    pub(super) fn wake_sender(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(waiter) = this.get().sender.take(py) else { return Ok(()) };
        settle(waiter.bind(py), intern!(py, "set_result"), py.None().into_bound(py))
    }

    /// Tells who sends a file that the connection is gone.
    pub(super) fn fail_sender(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(waiter) = this.get().sender.take(py) else { return Ok(()) };
        let error = lost().into_value(py).into_bound(py).into_any();
        settle(waiter.bind(py), intern!(py, "set_exception"), error)
    }

    /// A future that is set by `wake_sender` or `fail_sender`.
    fn expect<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop.get(py) else { return Err(lost()) };
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        this.get().sender.set(py, Some(future.clone().unbind()));
        Ok(future)
    }
}

fn lost() -> PyErr {
    PyConnectionError::new_err("Connection is closed by peer")
}

/// Calls `method` of a future that is not done.
fn settle<'py>(
    future: &Bound<'py, PyAny>,
    method: &Bound<'py, pyo3::types::PyString>,
    argument: Bound<'py, PyAny>,
) -> PyResult<()> {
    if future.call_method0(intern!(future.py(), "done"))?.is_truthy()? {
        return Ok(());
    }
    future.call_method1(method, (argument,)).map(drop)
}

#[pymethods]
impl StreamTransport {
    /// Keeps others from writing until :meth:`_end_sendfile`. Returns a future that is done when all that was
    /// written before has been sent.
    ///
    /// Raises :exc:`RuntimeError` if a file is being sent, or after :meth:`write_eof`.
    fn _begin_sendfile<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        write::check_may_write(this, "sendfile")?;
        write::flush(this)?;
        let future = StreamTransport::expect(this)?;
        let (drained, lost) = this.get().state.with(py, |state| {
            state.sends_file = true;
            (state.buffer.is_empty(), state.lost > 0)
        });
        if lost {
            StreamTransport::fail_sender(this)?;
        } else if drained {
            StreamTransport::wake_sender(this)?;
        }
        Ok(future)
    }

    /// The descriptor to send a file to. Raises :exc:`ConnectionError` if the connection is gone or being closed.
    fn _sendfile_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.state.with(py, |state| {
            let standing = state.sends_file && !state.closing && state.lost == 0;
            if standing && state.descriptor().is_some() { Ok(state.fd) } else { Err(lost()) }
        })
    }

    /// A future that is done when the kernel takes more, and fails with a :exc:`ConnectionError` if the connection
    /// is lost before.
    fn _wait_writable<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        this.get()._sendfile_fd(this.py())?;
        let future = StreamTransport::expect(this)?;
        StreamTransport::watch_writing(this)?;
        Ok(future)
    }

    /// Ends what :meth:`_begin_sendfile` began.
    fn _end_sendfile(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        this.get().sender.set(py, None);
        let (idle, eof) = this.get().state.with(py, |state| {
            state.sends_file = false;
            let idle = state.buffer.is_empty() && state.lost == 0;
            (idle, state.eof && !state.closing)
        });
        if idle {
            StreamTransport::unwatch_writing(this);
        }
        if idle && eof { write::end(this) } else { Ok(()) }
    }
}
