//! Running things in a `contextvars.Context`.
use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the thread's current context.
pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: the GIL is held; the call answers a new reference or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }.map(Bound::unbind)
}

/// A copy of `context`.
///
/// # Errors
/// A `TypeError` when it is no context.
pub(crate) fn copy(context: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    // SAFETY: the GIL is held; a wrong type is refused with an exception.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
        .map(Bound::unbind)
}

/// Runs `f` in `context`.
///
/// # Errors
/// A `RuntimeError` when the context is entered already, a `TypeError` when it is no context; `f` has not
/// run then. Else what `f` answers.
#[inline(always)]
pub(crate) fn run_in<T>(
    context: &Bound<'_, PyAny>,
    f: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    let py = context.py();
    // SAFETY: the GIL is held; a wrong type is refused with an exception.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(foreign_context(context, PyErr::fetch(py)));
    }
    let result = f();
    // SAFETY: the GIL is held, and the context was entered above by this thread.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let error = PyErr::fetch(py);
        return result.and(Err(error));
    }
    result
}

#[cold]
fn foreign_context(context: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    // SAFETY: only the type is looked at.
    if unsafe { ffi::PyContext_CheckExact(context.as_ptr()) } != 0 {
        return error;
    }
    pyo3::exceptions::PyTypeError::new_err(format!(
        "a contextvars.Context was expected, got {}",
        context.get_type()
    ))
}
