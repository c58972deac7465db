//! State of our objects: mutable behind the GIL, and never borrowed while Python code can run.
use std::cell::{Cell, UnsafeCell};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// A nullable reference to a Python object, as a field of one of our objects.
///
/// There is no way to borrow what it holds: it is copied out, replaced, or taken, so that no Rust reference
/// is alive when an object that it held goes and runs a `__del__`.
pub(crate) struct Slot<T = PyAny>(UnsafeCell<Option<Py<T>>>);

// SAFETY: every access needs a `Python` token (or happens in the collector, which holds the GIL), and the
// module declares that it needs the GIL; so accesses never overlap.
unsafe impl<T> Sync for Slot<T> {}
// SAFETY: `Py<T>` is `Send`.
unsafe impl<T> Send for Slot<T> {}

impl<T> Drop for Slot<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.0.get_mut().take() {
            // SAFETY: slots are fields of Python objects, or of what is about to become one, and both go
            // with the GIL held. `Py`'s own drop would ask thread-local storage whether that is so.
            unsafe { pyo3::ffi::Py_DECREF(value.into_ptr()) };
        }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot::empty()
    }
}

impl<T> Slot<T> {
    pub(crate) const fn empty() -> Self {
        Slot(UnsafeCell::new(None))
    }

    pub(crate) const fn new(value: Py<T>) -> Self {
        Slot(UnsafeCell::new(Some(value)))
    }

    pub(crate) const fn from_option(value: Option<Py<T>>) -> Self {
        Slot(UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, T>> {
        // SAFETY: the GIL is held, and copying a reference runs no Python code.
        unsafe { (*self.0.get()).as_ref() }.map(|value| value.bind(py).clone())
    }

    #[inline]
    pub(crate) fn is_some(&self, _py: Python<'_>) -> bool {
        // SAFETY: the GIL is held, and a look runs no Python code.
        unsafe { (*self.0.get()).is_some() }
    }

    /// Whether it holds `other`.
    pub(crate) fn holds<U>(&self, other: &Bound<'_, U>) -> bool {
        // SAFETY: the GIL is held (`other` proves it), and a look runs no Python code.
        unsafe { (*self.0.get()).as_ref() }.is_some_and(|value| value.as_ptr() == other.as_ptr())
    }

    /// Puts `value` in; what was there goes after that.
    #[inline]
    pub(crate) fn set(&self, py: Python<'_>, value: Option<Py<T>>) {
        if let Some(old) = self.replace(py, value) {
            drop(old.into_bound(py));
        }
    }

    #[inline]
    pub(crate) fn replace(&self, _py: Python<'_>, value: Option<Py<T>>) -> Option<Py<T>> {
        // SAFETY: the GIL is held, and moving references runs no Python code.
        unsafe { std::mem::replace(&mut *self.0.get(), value) }
    }

    #[inline]
    pub(crate) fn take(&self, py: Python<'_>) -> Option<Py<T>> {
        self.replace(py, None)
    }

    /// Empties it: for the collector's clear.
    pub(crate) fn clear(&self) {
        // SAFETY: the collector holds the GIL. The value is moved out before it goes.
        drop(unsafe { (*self.0.get()).take() });
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector holds the GIL and runs no Python code while it traverses.
        visit.call(unsafe { &*self.0.get() })
    }
}

/// Rust state as a field of one of our objects, lent for a few instructions at a time.
pub(crate) struct GilCell<T> {
    value: UnsafeCell<T>,
    lent: Cell<bool>,
}

// SAFETY: every access needs a `Python` token (or happens in the collector, which holds the GIL), and the
// module declares that it needs the GIL; a second access during the first is refused by the flag.
unsafe impl<T: Send> Sync for GilCell<T> {}

struct Lent<'a>(&'a Cell<bool>);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        GilCell { value: UnsafeCell::new(value), lent: Cell::new(false) }
    }

    /// Lends the value to `f`, which must not run Python code. If it did and came back here, that would
    /// panic (an exception for the user) rather than alias.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        assert!(!self.lent.replace(true), "state used while it was lent: a bug in boros");
        let _lent = Lent(&self.lent);
        // SAFETY: the GIL is held, and the flag keeps a nested access out.
        f(unsafe { &mut *self.value.get() })
    }

    /// Lends the value like [`with`](Self::with), without a check.
    ///
    /// # Safety
    /// `f` runs no Python code, and is called by none that [`with`](Self::with) lends the same value to.
    #[inline(always)]
    pub(crate) unsafe fn with_leaf<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        debug_assert!(!self.lent.get());
        // SAFETY: the GIL is held, and the caller keeps a nested access out.
        f(unsafe { &mut *self.value.get() })
    }

    /// For the collector, which may only look. Nothing is shown while the value is lent; the collector then
    /// takes what it would have seen for reachable, which is safe.
    pub(crate) fn inspect<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        if self.lent.replace(true) {
            return None;
        }
        let _lent = Lent(&self.lent);
        // SAFETY: the collector holds the GIL, and the flag keeps a nested access out.
        Some(f(unsafe { &*self.value.get() }))
    }

    /// For the collector's clear: takes the value out for its caller to drop.
    pub(crate) fn take_unlent(&self) -> Option<T>
    where
        T: Default,
    {
        if self.lent.replace(true) {
            return None;
        }
        let _lent = Lent(&self.lent);
        // SAFETY: the collector holds the GIL, and the flag keeps a nested access out.
        Some(std::mem::take(unsafe { &mut *self.value.get() }))
    }
}
