//! `tp_finalize` for our classes, which PyO3 does not offer: code that runs when an object is about to go,
//! and that may still hand the object out.
use std::sync::OnceLock;

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
pub(crate) fn install<T: Finalize>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type was made by PyO3 for this module and nobody uses it yet; the slot is filled with a
    // function of the right signature.
    unsafe {
        (*class).tp_finalize = Some(tp_finalize::<T>);
        ffi::PyType_Modified(class);
    }
}

/// A finalized class whose objects no pool keeps.
pub(crate) trait Unpooled: Finalize {
    /// Where PyO3's `tp_dealloc` is kept while ours stands in its place.
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor>;
}

unsafe extern "C" fn tp_dealloc<T: Unpooled>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and an object whose count fell to zero.
    unsafe {
        if finalize_before_dealloc(object) {
            return;
        }
        if let Some(dealloc) = T::dealloc_slot().get() {
            dealloc(object);
        }
    }
}

/// Gives the class `T` a finalizer and a `tp_dealloc` that calls it. To be called once, when the module is
/// made and no object exists.
pub(crate) fn install_unpooled<T: Unpooled>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: as in `install`; the `tp_dealloc` that PyO3 made is kept for ours to call.
    unsafe {
        if let Some(dealloc) = (*class).tp_dealloc
            && T::dealloc_slot().set(dealloc).is_ok()
        {
            (*class).tp_dealloc = Some(tp_dealloc::<T>);
        }
    }
    install::<T>(py);
}
