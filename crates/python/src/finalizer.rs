//! `tp_finalize` for our classes, which PyO3 does not offer: code that runs when an object is about to go,
//! and that may still hand the object out.
use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// A class whose objects are finalized.
pub(crate) trait Finalize: PyClass {
    /// Called once in an object's life, before it is torn down. An exception that was set is kept aside.
    fn finalize(this: &Bound<'_, Self>);

    /// Where the class's own `tp_dealloc` is kept while ours stands in its place.
    fn dealloc_slot() -> &'static std::sync::OnceLock<ffi::destructor>;
}

unsafe extern "C" fn tp_finalize<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and a live object of the class. What exception
    // was set is put back.
    unsafe {
        let py = Python::assume_attached();
        let pending = PyErr::take(py);
        let this = Bound::from_borrowed_ptr(py, object);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Ok(this) = this.cast::<T>() {
                T::finalize(this);
            }
        }))
        .is_err()
        {
            // The panic hook has printed it; a destructor has nobody to tell.
        }
        if let Some(error) = pending {
            error.restore(py);
        }
    }
}

unsafe extern "C" fn tp_dealloc<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and an object whose count fell to zero. If the
    // finalizer brought it back to life, it stays.
    unsafe {
        if ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        if let Some(dealloc) = T::dealloc_slot().get() {
            dealloc(object);
        }
    }
}

/// Gives the class `T` a finalizer. To be called once, when the module is made and no object exists.
pub(crate) fn install<T: Finalize>(py: Python<'_>) {
    let class: Bound<'_, PyType> = py.get_type::<T>();
    let class = class.as_type_ptr();
    // SAFETY: the type was made by PyO3 for this module and nobody uses it yet; both slots are filled with
    // functions of the right signature. The old `tp_dealloc` is kept for ours to call.
    unsafe {
        if let Some(dealloc) = (*class).tp_dealloc
            && dealloc as usize != tp_dealloc::<T> as *const () as usize
        {
            let _ = T::dealloc_slot().set(dealloc);
            (*class).tp_dealloc = Some(tp_dealloc::<T>);
        }
        (*class).tp_finalize = Some(tp_finalize::<T>);
        ffi::PyType_Modified(class);
    }
}
