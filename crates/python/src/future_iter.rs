//! The iterator behind `await future`.
use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyTraceback, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, ffi};

use crate::cell::Slot;
use crate::future::Future;
use crate::pool::{Pool, Pooled};

/// Yields the future once, if it is not done, and then returns its result.
#[pyclass(frozen, module = "boros", name = "FutureIter")]
pub(crate) struct FutureIter {
    future: Slot<Future>,
}

/// What one step of the iterator answers.
enum Answer<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    Exhausted,
}

impl FutureIter {
    pub(crate) fn new(future: Py<Future>) -> Self {
        FutureIter { future: Slot::new(future) }
    }

    #[inline]
    fn advance<'py>(&self, py: Python<'py>) -> PyResult<Answer<'py>> {
        let Some(future) = self.future.get(py) else { return Ok(Answer::Exhausted) };
        if !future.get().is_done() {
            if future.get().blocking() {
                return Err(PyRuntimeError::new_err("await wasn't used with future"));
            }
            future.get().set_blocking(true);
            return Ok(Answer::Yielded(future.into_any()));
        }
        self.future.set(py, None);
        Future::take_outcome(&future).map(Answer::Returned)
    }
}

// SAFETY: the value is the `FutureIter`, written and dropped whole.
unsafe impl Pooled for FutureIter {
    type Value = FutureIter;

    fn pool() -> &'static Pool {
        static POOL: Pool = Pool::new();
        &POOL
    }

    unsafe fn write(object: &Bound<'_, Self>, value: FutureIter) {
        // SAFETY: the place of the value in an object of this class, which holds none.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().write(value) };
    }

    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>) {
        // SAFETY: the value is there, and not used again.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().drop_in_place() };
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.advance(py)? {
            Answer::Yielded(value) => Ok(Some(value)),
            Answer::Returned(value) => Err(PyStopIteration::new_err((value.unbind(),))),
            Answer::Exhausted => Ok(None),
        }
    }

    /// The value is ignored: a future takes no input.
    fn send<'py>(
        &self,
        py: Python<'py>,
        _value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.advance(py)? {
            Answer::Yielded(value) => Ok(value),
            Answer::Returned(value) => Err(PyStopIteration::new_err((value.unbind(),))),
            Answer::Exhausted => Err(PyStopIteration::new_err(())),
        }
    }

    /// Raises the exception where the future is awaited.
    #[pyo3(signature = (r#type, value = None, traceback = None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let traceback = match traceback {
            None => None,
            Some(traceback) if traceback.is_none() => None,
            Some(traceback) => Some(traceback.cast::<PyTraceback>().map_err(|_| {
                PyTypeError::new_err("throw() third argument must be a traceback object")
            })?),
        };
        if cfg!(Py_3_12) && (value.is_some() || traceback.is_some()) {
            let message = c"the (type, exc, tb) signature of throw() is deprecated, \
                use the single-arg signature instead.";
            PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
        }
        let error = exception_of(r#type, value)?;
        if let Some(traceback) = traceback {
            error.set_traceback(py, Some(traceback.clone()));
        }
        self.future.set(py, None);
        Err(error)
    }

    /// Lets go of the future.
    fn close(&self, py: Python<'_>) {
        self.future.set(py, None);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.future.traverse(visit)
    }

    fn __clear__(&self) {
        self.future.clear();
    }
}

/// The exception that `throw(type, value)` means.
fn exception_of(r#type: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyResult<PyErr> {
    let is_exception =
        |object: &Bound<'_, PyAny>| object.is_instance_of::<pyo3::exceptions::PyBaseException>();
    if is_exception(r#type) {
        if value.is_some_and(|value| !value.is_none()) {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        return Ok(PyErr::from_value(r#type.clone()));
    }
    let class = r#type
        .cast::<PyType>()
        .ok()
        .filter(|class| {
            class.is_subclass_of::<pyo3::exceptions::PyBaseException>().unwrap_or(false)
        })
        .ok_or_else(|| {
            PyTypeError::new_err(format!(
                "exceptions must be classes or instances deriving from BaseException, not {}",
                r#type.get_type().name().map(|name| name.to_string()).unwrap_or_default()
            ))
        })?;
    let instance = match value {
        None => class.call0()?,
        Some(value) if value.is_none() => class.call0()?,
        Some(value) if value.is_instance(class)? => value.clone(),
        Some(value) => match value.cast::<PyTuple>() {
            Ok(args) => class.call1(args)?,
            Err(_) => class.call1((value,))?,
        },
    };
    if !is_exception(&instance) {
        return Err(PyTypeError::new_err(format!(
            "calling {} should have returned an instance of BaseException, not {}",
            class.repr()?,
            instance.get_type().repr()?
        )));
    }
    Ok(PyErr::from_value(instance))
}

/// `am_send`: what the interpreter calls for `await`, without an exception for the result.
unsafe extern "C" fn am_send(
    this: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the interpreter calls this slot with the GIL held and an object of the class, and takes over
    // the reference that `result` is set to. `advance` does not panic.
    unsafe {
        let py = Python::assume_attached();
        let this = Bound::from_borrowed_ptr(py, this);
        let (send, value) = match this.cast_unchecked::<FutureIter>().get().advance(py) {
            Ok(Answer::Yielded(value)) => (ffi::PySendResult::PYGEN_NEXT, value.into_ptr()),
            Ok(Answer::Returned(value)) => (ffi::PySendResult::PYGEN_RETURN, value.into_ptr()),
            Ok(Answer::Exhausted) => (ffi::PySendResult::PYGEN_RETURN, py.None().into_ptr()),
            Err(error) => {
                error.restore(py);
                (ffi::PySendResult::PYGEN_ERROR, std::ptr::null_mut())
            }
        };
        *result = value;
        send
    }
}

/// `tp_iternext`, which `await` uses on 3.12 and 3.13: the same with the usual result kept cheap.
unsafe extern "C" fn tp_iternext(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this slot with the GIL held and an object of the class. `advance` does
    // not panic; NULL without an exception means the end with no value.
    unsafe {
        let py = Python::assume_attached();
        let this = Bound::from_borrowed_ptr(py, this);
        match this.cast_unchecked::<FutureIter>().get().advance(py) {
            Ok(Answer::Yielded(value)) => value.into_ptr(),
            Ok(Answer::Returned(value)) if value.is_none() => std::ptr::null_mut(),
            Ok(Answer::Returned(value)) => {
                let plain = ffi::PyTuple_Check(value.as_ptr()) == 0
                    && ffi::PyExceptionInstance_Check(value.as_ptr()) == 0;
                if plain {
                    ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr());
                } else {
                    // A tuple would be taken for the arguments, an exception for the instance.
                    PyStopIteration::new_err((value.unbind(),)).restore(py);
                }
                std::ptr::null_mut()
            }
            Ok(Answer::Exhausted) => std::ptr::null_mut(),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    }
}

/// Puts the fast slots in. To be called once, when the module is made and no object exists.
pub(crate) fn install_slots(py: Python<'_>) {
    let class = py.get_type::<FutureIter>();
    let class = class.as_type_ptr();
    // SAFETY: the type was made by PyO3 for this module and nobody uses it yet; a heap type has its own
    // `tp_as_async`. The functions have the slots' signatures.
    unsafe {
        (*class).tp_iternext = Some(tp_iternext);
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_send = Some(am_send);
        }
        ffi::PyType_Modified(class);
    }
}
