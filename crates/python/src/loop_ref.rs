//! The loop that a future belongs to: one of ours, or any other.
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::Slot;
use crate::event_loop::Loop;

/// A loop, and whether it is one of ours.
pub(crate) struct LoopRef {
    object: Slot,
    native: AtomicBool,
}

impl LoopRef {
    pub(crate) const fn empty() -> Self {
        LoopRef { object: Slot::empty(), native: AtomicBool::new(false) }
    }

    pub(crate) fn set(&self, event_loop: &Bound<'_, PyAny>) {
        let native = event_loop.is_instance_of::<Loop>();
        self.object.set(event_loop.py(), Some(event_loop.clone().unbind()));
        self.native.store(native, Relaxed);
    }

    pub(crate) fn set_native(&self, event_loop: &Bound<'_, Loop>) {
        self.object.set(event_loop.py(), Some(event_loop.clone().into_any().unbind()));
        self.native.store(true, Relaxed);
    }

    pub(crate) fn is_set(&self, py: Python<'_>) -> bool {
        self.object.is_some(py)
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.object.get(py)
    }

    pub(crate) fn holds(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        self.object.holds(event_loop)
    }

    pub(crate) fn is_same(&self, py: Python<'_>, other: &LoopRef) -> bool {
        other.get(py).is_some_and(|event_loop| self.holds(&event_loop))
    }

    /// The loop, if it is ours and jobs may be queued without asking its `call_soon`.
    #[inline]
    pub(crate) fn fast<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        if !self.native.load(Relaxed) {
            return None;
        }
        let event_loop = self.object.get(py)?;
        // SAFETY: `native` is only set along with a `Loop`.
        let event_loop = unsafe { event_loop.cast_into_unchecked::<Loop>() };
        event_loop.get().is_fast().then_some(event_loop)
    }

    /// Asks the loop's `call_soon`.
    pub(crate) fn call_soon(
        &self,
        py: Python<'_>,
        function: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
        context: Py<PyAny>,
    ) -> PyResult<()> {
        let event_loop = self
            .object
            .get(py)
            .ok_or_else(|| PyRuntimeError::new_err("Future object is not initialized."))?;
        let mut all = vec![function.into_bound(py)];
        all.extend(args.iter());
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "context"), context)?;
        event_loop.call_method(intern!(py, "call_soon"), PyTuple::new(py, all)?, Some(&kwargs))?;
        Ok(())
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.object.traverse(visit)
    }

    pub(crate) fn clear(&self) {
        self.native.store(false, Relaxed);
        self.object.clear();
    }
}
