//! `yield from sleep(seconds)`: how a plain generator says that it wants to wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// An iterator that yields itself once: to a scheduler that is the request.
#[pyclass(module = "boros.scheduler", frozen)]
pub(crate) struct Sleep {
    #[pyo3(get)]
    seconds: f64,
    asked: AtomicBool,
}

impl Sleep {
    pub(crate) fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds.max(0.0)).unwrap_or(Duration::MAX)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }
}

#[pymethods]
impl Sleep {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> Option<Bound<'_, Self>> {
        let again = slf.get().asked.swap(true, Ordering::Relaxed);
        (!again).then_some(slf)
    }

    fn __repr__(&self) -> String {
        format!("<boros.scheduler.sleep({})>", self.seconds)
    }
}

/// Let the calling task of a `Scheduler` rest: `yield from sleep(seconds)`.
///
/// The others run meanwhile; when all of them sleep, so does the thread. Zero
/// or less gives up the turn, as a bare `yield` does. Raises TypeError if
/// `seconds` is no number and ValueError if it is not a number (NaN).
#[pyfunction]
#[pyo3(name = "scheduler_sleep")]
pub(crate) fn sleep(seconds: f64) -> PyResult<Sleep> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err("invalid delay: NaN (not a number)"));
    }
    Ok(Sleep { seconds, asked: AtomicBool::new(false) })
}
