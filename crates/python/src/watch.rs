//! Waiting for descriptors: `add_reader`, `add_writer` and their like.
use std::os::fd::RawFd;

use boros::reactor::Direction;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use crate::errors::io_error;
use crate::event_loop::Loop;
use crate::handle::Handle;
use crate::job::Target;

/// The descriptor that an integer or an object with a `fileno` means.
///
/// # Errors
/// A `ValueError` for anything else and for negative numbers, an `OverflowError` for numbers that are too large, as
/// `selectors` raises them.
pub(crate) fn fileno(object: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let number = if object.is_instance_of::<PyInt>() {
        match object.extract::<RawFd>() {
            Ok(number) => number,
            Err(_) if object.lt(0)? => {
                return Err(PyValueError::new_err(format!("Invalid file descriptor: {object}")));
            }
            Err(error) => return Err(error),
        }
    } else {
        let fileno =
            object.getattr_opt(intern!(object.py(), "fileno"))?.ok_or_else(|| invalid(object))?;
        fileno.call0()?.extract::<RawFd>().map_err(|_| invalid(object))?
    };
    if number < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {number}")));
    }
    Ok(number)
}

fn invalid(object: &Bound<'_, PyAny>) -> PyErr {
    match object.repr() {
        Ok(repr) => PyValueError::new_err(format!("Invalid file object: {repr}")),
        Err(error) => error,
    }
}

/// Has `callback(*args)` called whenever `fd` is ready, in place of what was called before.
pub(crate) fn watch<'py>(
    event_loop: &Bound<'py, Loop>,
    fd: RawFd,
    direction: Direction,
    callback: &Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, Handle>> {
    let py = event_loop.py();
    event_loop.get().check_open()?;
    let handle = Bound::new(py, Loop::plain_handle(event_loop, callback, args)?)?;
    let target = Target::Handle(handle.clone().unbind());
    let result = event_loop
        .get()
        .engine(py, |engine| engine.watch(fd, direction, target))
        .unwrap_or(Ok(None));
    match result {
        Ok(previous) => retire(py, previous)?,
        Err((error, target)) => {
            drop(target);
            return Err(io_error(py, &error));
        }
    }
    Ok(handle)
}

/// Ends the wait for `fd`, and answers whether there was one.
pub(crate) fn unwatch(
    event_loop: &Bound<'_, Loop>,
    fd: RawFd,
    direction: Direction,
) -> PyResult<bool> {
    let py = event_loop.py();
    let previous = event_loop.get().engine(py, |engine| engine.unwatch(fd, direction)).flatten();
    let found = previous.is_some();
    retire(py, previous)?;
    Ok(found)
}

/// What no longer waits is not to be called any more, also if its job is queued.
pub(crate) fn retire(py: Python<'_>, target: Option<Target>) -> PyResult<()> {
    match target {
        Some(Target::Handle(handle)) => Handle::cancel_once(handle.bind(py)).map(drop),
        // They look for themselves whether they are still wanted.
        Some(Target::Stream(_) | Target::Listener(_) | Target::Pipe(_)) | None => Ok(()),
    }
}

#[pymethods]
impl Loop {
    /// Has ``callback(*args)`` called whenever ``fd`` can be read.
    ///
    /// Raises :exc:`ValueError` for what is no descriptor and :exc:`OSError` for one that cannot be
    /// waited for.
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        watch(this, fileno(fd)?, Direction::Read, callback, args)
    }

    /// Has ``callback(*args)`` called whenever ``fd`` can be written.
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_writer<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        watch(this, fileno(fd)?, Direction::Write, callback, args)
    }

    /// The loop's own descriptor for signals: see `Engine::set_quiet`.
    fn _watch_signals<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Handle>> {
        let fd = fileno(fd)?;
        let handle = watch(this, fd, Direction::Read, callback, PyTuple::empty(this.py()))?;
        this.get().engine(this.py(), |engine| engine.set_quiet(1));
        Ok(handle)
    }

    /// Ends the wait to read ``fd``, and answers whether there was one.
    fn _remove_reader(this: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        unwatch(this, fileno(fd)?, Direction::Read)
    }

    /// Ends the wait to write ``fd``, and answers whether there was one.
    fn _remove_writer(this: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        unwatch(this, fileno(fd)?, Direction::Write)
    }
}
