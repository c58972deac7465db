//! The tasks that are not done: an intrusive list, so that creating a task allocates nothing for it.
//!
//! The list holds no references. A task is linked from its start until it is done or torn down, whichever
//! is first, so every object in the list is alive, or its teardown has begun and has not reached us yet.
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::task::Task;

/// The first task of the list. Only used with the GIL held, like the links themselves; atomic so that no
/// `unsafe` is needed to store it.
static FIRST: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// A task's place in the list.
#[derive(Default)]
pub(crate) struct Links {
    /// The task's own object while it is linked, else null.
    this: AtomicPtr<ffi::PyObject>,
    before: AtomicPtr<ffi::PyObject>,
    after: AtomicPtr<ffi::PyObject>,
}

/// The links of a linked task.
///
/// # Safety
/// `task` is an object in the list, and the GIL is held.
unsafe fn links_of<'a>(py: Python<'a>, task: *mut ffi::PyObject) -> &'a Links {
    // SAFETY: what is in the list is a `Task` that has not been torn down (its `Drop` unlinks it).
    unsafe {
        let task = Borrowed::<'a, 'a, PyAny>::from_ptr(py, task).cast_unchecked::<Task>();
        let links: *const Links = &task.get().links;
        &*links
    }
}

impl Links {
    /// Puts `task` into the list, unless it is there.
    pub(crate) fn link(task: &Bound<'_, Task>) {
        let links = &task.get().links;
        if !links.this.load(Relaxed).is_null() {
            return;
        }
        let this = task.as_ptr();
        let first = FIRST.swap(this, Relaxed);
        links.this.store(this, Relaxed);
        links.before.store(std::ptr::null_mut(), Relaxed);
        links.after.store(first, Relaxed);
        if !first.is_null() {
            // SAFETY: it is in the list.
            unsafe { links_of(task.py(), first) }.before.store(this, Relaxed);
        }
    }

    /// Takes the task out of the list, if it is there. With the GIL held.
    pub(crate) fn unlink(&self) {
        let this = self.this.swap(std::ptr::null_mut(), Relaxed);
        if this.is_null() {
            return;
        }
        // SAFETY: tasks are stepped, and torn down, with the GIL held.
        let py = unsafe { Python::assume_attached() };
        let before = self.before.swap(std::ptr::null_mut(), Relaxed);
        let after = self.after.swap(std::ptr::null_mut(), Relaxed);
        if before.is_null() {
            FIRST.store(after, Relaxed);
        } else {
            // SAFETY: it is in the list.
            unsafe { links_of(py, before) }.after.store(after, Relaxed);
        }
        if !after.is_null() {
            // SAFETY: it is in the list.
            unsafe { links_of(py, after) }.before.store(before, Relaxed);
        }
    }

    /// The tasks in the list.
    pub(crate) fn all(py: Python<'_>) -> Vec<Py<Task>> {
        let mut tasks = Vec::new();
        let mut next = FIRST.load(Relaxed);
        while !next.is_null() {
            // SAFETY: `next` is in the list and nothing here runs Python code that could change it. An
            // object whose count is zero is being torn down and must not be brought back.
            unsafe {
                if ffi::Py_REFCNT(next) > 0 {
                    let task = Bound::from_borrowed_ptr(py, next);
                    tasks.push(task.cast_into_unchecked::<Task>().unbind());
                }
                next = links_of(py, next).after.load(Relaxed);
            }
        }
        tasks
    }
}
