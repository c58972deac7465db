//! `tp_finalize` for our classes, which PyO3 does not offer: code that runs when an object is about to go,
//! and that may still hand the object out.
use std::ffi::c_void;
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::{PyClass, ffi};

/// A class whose objects are finalized.
pub(crate) trait Finalize: PyClass {
    /// Called once in an object's life, before it is torn down. An exception that was set is kept aside.
    fn finalize(this: &Bound<'_, Self>);
}

unsafe extern "C" fn tp_finalize<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and a live object of the class. What exception
    // was set is put back.
    unsafe {
        let py = Python::assume_attached();
        let pending = PyErr::take(py);
        let this = Bound::from_borrowed_ptr(py, object);
        let finalize = || {
            if let Ok(this) = this.cast::<T>() {
                T::finalize(this);
            }
        };
        // A panic ends here: its hook has printed it, and a destructor has nobody to tell.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(finalize));
        if let Some(error) = pending {
            error.restore(py);
        }
    }
}

/// Runs the finalizer of an object whose count fell to zero. Answers whether it was brought back to life.
///
/// # Safety
/// Called at the start of `tp_dealloc`, with the GIL held.
pub(crate) unsafe fn finalize_before_dealloc(object: *mut ffi::PyObject) -> bool {
    // SAFETY: as the caller says.
    unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) < 0 }
}

/// Gives the class `T` a finalizer. To be called once, when the module is made and no object exists; its
/// `tp_dealloc` has to call [`finalize_before_dealloc`].
///
/// The slot is filled by setting `__del__` to a slot wrapper, as if the class had been defined with it: Python
/// subclasses take their own slot from what their bases have as `__del__`.
///
/// # Errors
/// What the interpreter raises.
pub(crate) fn install<T: Finalize>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<T>();
    // Any built-in class with a finalizer has such a wrapper; the interpreter's description of the slot is
    // what is wanted of it.
    let model = py.import("types")?.getattr("GeneratorType")?.getattr("__del__")?;
    // SAFETY: `model` is checked to be a slot wrapper before its description, which is static, is read. The
    // function has the slot's signature.
    let wrapper = unsafe {
        if ffi::Py_IS_TYPE(model.as_ptr(), &raw mut ffi::PyWrapperDescr_Type) == 0 {
            return Err(PyTypeError::new_err("GeneratorType.__del__ is no slot wrapper"));
        }
        let description = (*model.as_ptr().cast::<ffi::PyWrapperDescrObject>()).d_base;
        let function = tp_finalize::<T> as *const () as *mut c_void;
        Bound::from_owned_ptr_or_err(
            py,
            PyDescr_NewWrapper(class.as_type_ptr(), description, function),
        )?
    };
    class.setattr("__del__", wrapper)
}

unsafe extern "C" {
    /// Public in CPython's `descrobject.h`, and left out by pyo3-ffi.
    fn PyDescr_NewWrapper(
        class: *mut ffi::PyTypeObject,
        description: *mut ffi::wrapperbase,
        wrapped: *mut c_void,
    ) -> *mut ffi::PyObject;
}

/// A finalized class whose `tp_dealloc` is PyO3's own.
pub(crate) trait FinalizeOnDealloc: Finalize {
    /// Where PyO3's `tp_dealloc` is kept while ours stands in its place.
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor>;
}

unsafe extern "C" fn tp_dealloc<T: FinalizeOnDealloc>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and an object whose count fell to zero. If the
    // finalizer brought it back to life, it stays.
    unsafe {
        if finalize_before_dealloc(object) {
            return;
        }
        if let Some(dealloc) = T::dealloc_slot().get() {
            dealloc(object);
        }
    }
}

/// [`install`], and a `tp_dealloc` that calls the finalizer.
///
/// # Errors
/// What the interpreter raises.
pub(crate) fn install_with_dealloc<T: FinalizeOnDealloc>(py: Python<'_>) -> PyResult<()> {
    install::<T>(py)?;
    let class = T::type_object_raw(py);
    // SAFETY: the type was made by PyO3 for this module and nobody uses it yet; the old slot is kept for the new one to call.
    unsafe {
        if let Some(dealloc) = (*class).tp_dealloc
            && T::dealloc_slot().set(dealloc).is_ok()
        {
            (*class).tp_dealloc = Some(tp_dealloc::<T>);
        }
    }
    Ok(())
}
