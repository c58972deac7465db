//! Objects that are used again: the hot classes keep the memory of a few objects that went.
//!
//! PyO3's own `freelist` loses track of reused objects in the cyclic collector, so this is ours. Only plain
//! objects are kept: of the exact class, with no `__dict__` and no weak references, and never finalized.
//!
//! Also here, since all teardowns of these classes pass through: a long chain of objects that hold each other
//! is torn down link by link, not one inside the other to the end of the stack.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, ffi};

use crate::cell::GilCell;

/// How many objects of a class are kept.
const CAPACITY: usize = 1024;

/// How many teardowns may be under way inside each other; what goes beyond waits until those have ended.
const MAX_NESTING: u32 = 32;

/// How many teardowns are under way, of all classes and threads. Only used with the GIL held.
static NESTING: AtomicU32 = AtomicU32::new(0);

/// Objects whose count fell to zero when too many teardowns were under way: hidden from the collector.
static WAITING: GilCell<Vec<Waiting>> = GilCell::new(Vec::new());

struct Waiting {
    object: *mut ffi::PyObject,
    tear_down: unsafe fn(*mut ffi::PyObject),
}

// SAFETY: nobody else knows of the object; only used with the GIL held.
unsafe impl Send for Waiting {}

/// The kept objects of one class.
pub(crate) struct Pool {
    kept: GilCell<Vec<Kept>>,
    /// The class itself; null before [`install`].
    class: AtomicPtr<ffi::PyTypeObject>,
    /// PyO3's own `tp_dealloc`, for what is not kept.
    dealloc: OnceLock<ffi::destructor>,
}

/// Memory of an object that went: untracked, its value dropped. Its count is 1 and it holds its type's reference,
/// so that it needs nothing but a value to be an object again.
struct Kept(*mut ffi::PyObject);

// SAFETY: plain memory that nobody else knows of; only used with the GIL held.
unsafe impl Send for Kept {}

impl Pool {
    pub(crate) const fn new() -> Self {
        Pool {
            kept: GilCell::new(Vec::new()),
            class: AtomicPtr::new(std::ptr::null_mut()),
            dealloc: OnceLock::new(),
        }
    }
}

/// A class whose objects are kept.
///
/// # Safety
/// `write` initialises all that `drop_value` drops, and that is all that the object owns beside its
/// `__dict__` and weak references.
pub(crate) unsafe trait Pooled: PyClass<Frozen = True> {
    /// What a new object is made of.
    type Value;
    /// Whether the class has a finalizer. An object that it ran for once must not be used again.
    const FINALIZED: bool = false;

    fn pool() -> &'static Pool;

    /// Puts `value` into an object whose value was dropped.
    ///
    /// # Safety
    /// `object` is of the exact class and its value was dropped.
    unsafe fn write(object: &Bound<'_, Self>, value: Self::Value);

    /// Drops the value of an object.
    ///
    /// # Safety
    /// `object` is of the exact class, and its value is not used again before `write`.
    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>);

    /// Called when the last reference has gone. Answers whether the object was brought back to life.
    ///
    /// # Safety
    /// `object` is being torn down and nothing of it has been touched yet.
    unsafe fn finalize_before_dealloc(_object: *mut ffi::PyObject) -> bool {
        false
    }
}

/// A new object, in kept memory if there is some.
#[inline]
pub(crate) fn create<T: Pooled>(py: Python<'_>, value: T::Value) -> PyResult<Bound<'_, T>> {
    match reuse::<T>(py, value) {
        Ok(object) => {
            // SAFETY: the object is whole, and was not shown to the collector before.
            unsafe { ffi::PyObject_GC_Track(object.as_ptr().cast()) };
            Ok(object)
        }
        Err(value) => allocate::<T>(py, value),
    }
}

/// A new object that the collector does not see before [`track`].
#[inline]
pub(crate) fn create_untracked<T: Pooled>(
    py: Python<'_>,
    value: T::Value,
) -> PyResult<Bound<'_, T>> {
    match reuse::<T>(py, value) {
        Ok(object) => Ok(object),
        Err(value) => {
            let object = allocate::<T>(py, value)?;
            // SAFETY: the object is alive; its class takes part in collection.
            unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
            Ok(object)
        }
    }
}

/// Shows an object to the collector, unless it sees it already.
pub(crate) fn track<T: Pooled>(object: &Bound<'_, T>) {
    // SAFETY: the object is alive and whole, and its class takes part in collection.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// A tracked object in new memory.
///
/// PyO3's way there has the class looked up, and an initializer moved about, several times.
fn allocate<T: Pooled>(py: Python<'_>, value: T::Value) -> PyResult<Bound<'_, T>> {
    let class = T::pool().class.load(Relaxed);
    // SAFETY: `class` is the exact class. The memory is filled with zeros, which is what an object of a frozen
    // class holds beside its value: no `__dict__`, no weak references, and borrow checkers without a size. The
    // collector cannot run before the value is written.
    unsafe {
        let object = Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class, 0))?;
        let object = object.cast_into_unchecked::<T>();
        T::write(&object, value);
        Ok(object)
    }
}

/// An untracked object in kept memory, or the value back if there is none.
#[inline]
fn reuse<T: Pooled>(py: Python<'_>, value: T::Value) -> Result<Bound<'_, T>, T::Value> {
    // SAFETY: a vector of pointers runs no Python code.
    let kept = unsafe { T::pool().kept.with_leaf(py, Vec::pop) };
    let Some(Kept(object)) = kept else { return Err(value) };
    // SAFETY: the memory is an object of the exact class, with a count of 1 that is ours, whose value was dropped.
    // It gets a new one.
    unsafe {
        let object = Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>();
        T::write(&object, value);
        Ok(object)
    }
}

unsafe extern "C" fn tp_dealloc<T: Pooled>(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the GIL held and an object whose count fell to zero. One that
    // waits is hidden from the collector, and shown again before anything else is done with it. Objects of
    // Python subclasses are not made to wait: their own teardown is under way already, and bounds itself.
    unsafe {
        let py = Python::assume_attached();
        let nesting = NESTING.load(Relaxed);
        if nesting >= MAX_NESTING && ffi::Py_TYPE(object) == T::type_object_raw(py) {
            ffi::PyObject_GC_UnTrack(object.cast());
            WAITING.with(py, |waiting| waiting.push(Waiting { object, tear_down: tear_down::<T> }));
            return;
        }
        NESTING.store(nesting + 1, Relaxed);
        tear_down::<T>(object);
        if nesting == 0 {
            while let Some(Waiting { object, tear_down }) = WAITING.with(py, Vec::pop) {
                ffi::PyObject_GC_Track(object.cast());
                tear_down(object);
            }
        }
        NESTING.fetch_sub(1, Relaxed);
    }
}

/// Tears an object down: keeps its memory, or has it freed.
///
/// # Safety
/// `object` is of the class or a subclass, its count fell to zero, and the GIL is held.
unsafe fn tear_down<T: Pooled>(object: *mut ffi::PyObject) {
    // SAFETY: as the caller says. The value is dropped once, when nobody can reach the object any more; what
    // that runs cannot bring it back.
    unsafe {
        if T::finalize_before_dealloc(object) {
            return;
        }
        let py = Python::assume_attached();
        let class = T::pool().class.load(Relaxed);
        if ffi::Py_TYPE(object) == class && is_plain(object, class) {
            ffi::PyObject_GC_UnTrack(object.cast());
            T::drop_value(&Borrowed::from_ptr(py, object).cast_unchecked::<T>());
            let keep = T::pool().kept.with_leaf(py, |kept| kept.len() < CAPACITY)
                && !(T::FINALIZED && ffi::PyObject_GC_IsFinalized(object) != 0);
            if keep {
                // From zero to one: nobody but the pool has it.
                ffi::Py_INCREF(object);
                T::pool().kept.with_leaf(py, |kept| kept.push(Kept(object)));
            } else {
                ffi::PyObject_GC_Del(object.cast());
                ffi::Py_DECREF(class.cast());
            }
        } else if let Some(dealloc) = T::pool().dealloc.get() {
            dealloc(object);
        }
    }
}

/// Whether the object has no `__dict__` and no weak references.
///
/// # Safety
/// `object` is of the exact class `class`, and the GIL is held.
unsafe fn is_plain(object: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) -> bool {
    let is_null = |offset: ffi::Py_ssize_t| {
        // SAFETY: a positive offset is that of a pointer in every object of the class.
        offset <= 0
            || unsafe {
                object.cast::<u8>().offset(offset).cast::<*mut ffi::PyObject>().read().is_null()
            }
    };
    // SAFETY: the class is alive, and so is the object's memory.
    unsafe { is_null((*class).tp_weaklistoffset) && is_null((*class).tp_dictoffset) }
}

/// Has the objects of the class kept. To be called once, when the module is made and no object exists.
pub(crate) fn install<T: Pooled>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type was made by PyO3 for this module and nobody uses it yet; the slot is filled with a
    // function of the right signature, and the old one is kept for it to call.
    unsafe {
        if let Some(dealloc) = (*class).tp_dealloc
            && T::pool().dealloc.set(dealloc).is_ok()
        {
            T::pool().class.store(class, Relaxed);
            (*class).tp_dealloc = Some(tp_dealloc::<T>);
        }
    }
}
