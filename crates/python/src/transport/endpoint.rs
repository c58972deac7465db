//! What transports over a socket have in common: whom they tell, and how the loop waits for them.
use std::os::fd::RawFd;

use boros::reactor::Direction;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyClass, ffi, intern};

use crate::asyncio;
use crate::cell::Slot;
use crate::errors::os_error;
use crate::event_loop::Loop;
use crate::job::Target;

/// A transport with a loop and a protocol, both empty once the connection is lost.
pub(super) trait Endpoint:
    PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync
{
    fn event_loop(&self) -> &Slot<Loop>;

    fn protocol(&self) -> &Slot;

    /// Closes without sending what is buffered; `connection_lost(error)` follows.
    ///
    /// # Errors
    /// A `RuntimeError` when the loop is closed.
    fn force_close(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()>;

    /// Tells the loop's exception handler of `exception`.
    fn report(this: &Bound<'_, Self>, message: &str, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop().get(py) else { return Ok(()) };
        let context = PyDict::new(py);
        context.set_item("message", message)?;
        context.set_item("exception", exception)?;
        context.set_item("transport", this)?;
        context.set_item("protocol", this.get().protocol().get(py))?;
        asyncio::call_exception_handler(event_loop.as_any(), &context)
    }

    /// Reports `error`, unless it is the system's, and closes the connection at once.
    ///
    /// # Errors
    /// What the exception handler raises.
    #[cold]
    fn fatal_error(this: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = this.py();
        let exception = error.into_value(py).into_bound(py).into_any();
        let reported = if !exception.is_instance_of::<PyOSError>() {
            Self::report(this, message, &exception)
        } else if this.get().is_debug(py) {
            let kwargs = PyDict::new(py);
            kwargs.set_item(intern!(py, "exc_info"), &exception)?;
            asyncio::logger(py)?
                .call_method(intern!(py, "debug"), ("%r: %s", this, message), Some(&kwargs))
                .map(drop)
        } else {
            Ok(())
        };
        reported.and(Self::force_close(this, Some(exception.unbind())))
    }

    /// Calls a method of the protocol that is about its writing. What that raises is reported.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    fn tell(this: &Bound<'_, Self>, method: &str) -> PyResult<()> {
        let py = this.py();
        let Some(protocol) = this.get().protocol().get(py) else { return Ok(()) };
        let Err(error) = protocol.call_method0(method) else { return Ok(()) };
        if asyncio::must_propagate(py, &error) {
            return Err(error);
        }
        let exception = error.into_value(py).into_bound(py).into_any();
        Self::report(this, &format!("protocol.{method}() failed"), &exception)
    }

    /// Logs `message` about the transport, in debug mode.
    fn debug_log(this: &Bound<'_, Self>, message: &str) -> PyResult<()> {
        let py = this.py();
        if this.get().is_debug(py) {
            asyncio::logger(py)?.call_method1(intern!(py, "debug"), (message, this))?;
        }
        Ok(())
    }

    fn is_debug(&self, py: Python<'_>) -> bool {
        self.event_loop().get(py).is_some_and(|event_loop| event_loop.get().is_debug())
    }

    /// Has the loop tell `target` when `fd` is ready.
    ///
    /// # Errors
    /// A `RuntimeError` when the loop is closed, an `OSError` when the descriptor cannot be waited for.
    fn watch(
        this: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        target: Target,
    ) -> PyResult<()> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop().get(py) else { return Ok(()) };
        match event_loop.get().engine(py, |engine| engine.watch(fd, direction, target)) {
            None => event_loop.get().check_open(),
            Some(Ok(previous)) => crate::watch::retire(py, previous),
            Some(Err((error, target))) => {
                drop(target);
                Err(os_error(py, error.raw_os_error().unwrap_or_default()))
            }
        }
    }

    /// Ends what [`Endpoint::watch`] began.
    fn unwatch(this: &Bound<'_, Self>, fd: RawFd, direction: Direction) {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop().get(py) else { return };
        let previous = event_loop.get().engine(py, |engine| engine.unwatch(fd, direction));
        drop(previous);
    }

    /// Warns of a transport that goes while it is open.
    fn warn_unclosed(this: &Bound<'_, Self>) {
        let py = this.py();
        // The interpreter's own function also works when it has begun to shut down.
        // SAFETY: the GIL is held; the format takes one object.
        let status = unsafe {
            ffi::PyErr_ResourceWarning(
                this.as_ptr(),
                1,
                c"unclosed transport %R".as_ptr(),
                this.as_ptr(),
            )
        };
        if status < 0 {
            PyErr::fetch(py).write_unraisable(py, Some(this.as_any()));
        }
    }
}

/// What the `repr` of a transport tells.
pub(super) struct Shown {
    pub(super) open: bool,
    pub(super) closing: bool,
    pub(super) fd: RawFd,
    pub(super) reading: bool,
    pub(super) writing: bool,
    /// Bytes that wait to be sent.
    pub(super) size: usize,
}

impl Shown {
    pub(super) fn text<T: Endpoint>(&self, this: &Bound<'_, T>) -> PyResult<String> {
        let py = this.py();
        let mut text = format!("<{}", this.as_any().get_type().name()?);
        if !self.open {
            text += " closed";
        } else if self.closing {
            text += " closing";
        }
        text += &format!(" fd={}", self.fd);
        let polls = |is: bool| if is { "polling" } else { "idle" };
        let event_loop = this.get().event_loop().get(py);
        if event_loop.is_some_and(|event_loop| !event_loop.get().is_closed()) {
            let (reading, writing) = (polls(self.reading), polls(self.writing));
            text += &format!(" read={reading} write=<{writing}, bufsize={}>", self.size);
        }
        Ok(text + ">")
    }
}
