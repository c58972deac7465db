//! Threads that run loops when the interpreter ends.
//!
//! Those that run Python code then, and want the GIL, are ended where they are: before 3.14 by `pthread_exit`, which
//! unwinds the stack. Frames of Rust are not made for that, and the process would be aborted. So before the
//! interpreter ends, each such thread stops for ever between two turns of its loop. And if one does not come to
//! that in time, it stops where the stack of a task's step or of a callback is unwound into Rust.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::event_loop::{Loop, thread_ident};

/// The thread that ends the interpreter, or 0.
static ENDING: AtomicU64 = AtomicU64::new(0);

/// Has all other threads stop for ever when they come to the end of a turn of their loop.
#[pyfunction]
pub(crate) fn park_other_threads() {
    ENDING.store(thread_ident(), Relaxed);
}

/// Stops for ever if the interpreter is about to end.
#[inline(always)]
pub(crate) fn park_at_end(event_loop: &Bound<'_, Loop>) {
    if ENDING.load(Relaxed) != 0 {
        park(event_loop);
    }
}

#[cold]
fn park(event_loop: &Bound<'_, Loop>) {
    if ENDING.load(Relaxed) != thread_ident() {
        event_loop.get().set_at_rest(true);
        event_loop.py().detach(|| drop(Parked));
    }
}

/// Stops the thread when it is dropped.
struct Parked;

impl Drop for Parked {
    #[cold]
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

#[inline(always)]
fn parking<T>(call: impl FnOnce() -> T) -> T {
    // Dropped only while the stack is unwound.
    let parked = Parked;
    let result = call();
    std::mem::forget(parked);
    result
}

mod unwinding {
    use pyo3::ffi;

    pub(super) type Vectorcall = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *const *mut ffi::PyObject,
        usize,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;

    pub(super) type Send = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut *mut ffi::PyObject,
    ) -> ffi::PySendResult;

    unsafe extern "C-unwind" {
        pub(super) fn PyIter_Send(
            iterator: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            result: *mut *mut ffi::PyObject,
        ) -> ffi::PySendResult;

        pub(super) fn PyObject_Vectorcall(
            callable: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: usize,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;
    }
}

/// `PyIter_Send`.
///
/// # Safety
/// As for the function of the interpreter.
#[inline(always)]
pub(crate) unsafe fn iter_send(
    iterator: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: &mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: as the caller says. The two kinds of functions differ in what the compiler expects of them only. It is
    // always a pointer that is called: PyO3 declares `PyIter_Send` as a function that does not unwind, and a linker
    // that optimises takes the two declarations for one.
    parking(|| unsafe {
        let methods = (*ffi::Py_TYPE(iterator)).tp_as_async;
        let send = if methods.is_null() { None } else { (*methods).am_send };
        let send = match send {
            Some(send) => std::mem::transmute::<ffi::sendfunc, unwinding::Send>(send),
            None => std::hint::black_box(unwinding::PyIter_Send as unwinding::Send),
        };
        send(iterator, value, result)
    })
}

/// `PyObject_Vectorcall` without keywords, and without its check of the result for consistency.
///
/// # Safety
/// As for the function of the interpreter.
#[inline(always)]
pub(crate) unsafe fn vectorcall(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
) -> *mut ffi::PyObject {
    let none = std::ptr::null_mut();
    // SAFETY: as the caller says. The two kinds of functions differ in what the compiler expects of them only.
    parking(|| unsafe {
        match ffi::PyVectorcall_Function(callable) {
            Some(function) => {
                let function =
                    std::mem::transmute::<ffi::vectorcallfunc, unwinding::Vectorcall>(function);
                function(callable, args, count, none)
            }
            None => {
                let function = unwinding::PyObject_Vectorcall as unwinding::Vectorcall;
                std::hint::black_box(function)(callable, args, count, none)
            }
        }
    })
}
