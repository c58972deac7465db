//! What is said of one step of a task, to traces and reports.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The task gave up its turn.
    Yielded,
    /// The task asked to sleep.
    Sleeping,
    /// The task is done.
    Returned,
    /// The task failed.
    Raised,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Yielded => "yielded",
            Self::Sleeping => "sleeping",
            Self::Returned => "returned",
            Self::Raised => "raised",
        }
    }
}

/// One step of one task, as `trace=` and `on_blocking=` callables get it.
///
/// `task` is the task's id and `routine` its generator; `outcome` is one of
/// "yielded", "sleeping", "returned" and "raised"; `value` is what was yielded,
/// the seconds to sleep, what was returned, or the exception; `duration` is how
/// long the step took, in seconds.
#[pyclass(module = "boros.scheduler", frozen)]
pub(crate) struct Step {
    #[pyo3(get)]
    task: u64,
    #[pyo3(get)]
    routine: Py<PyAny>,
    outcome: Outcome,
    #[pyo3(get)]
    value: Py<PyAny>,
    #[pyo3(get)]
    duration: f64,
}

impl Step {
    pub(crate) fn new(
        task: u64,
        routine: Py<PyAny>,
        outcome: Outcome,
        value: Py<PyAny>,
        duration: f64,
    ) -> Self {
        Self { task, routine, outcome, value, duration }
    }

    /// The line that `trace=True` prints once the step has ended.
    pub(crate) fn line(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py);
        Ok(match self.outcome {
            Outcome::Yielded => "now yielded".to_owned(),
            Outcome::Sleeping => format!("now sleeping for {} seconds", value.str()?),
            Outcome::Returned => format!("completed with result: {}", value.repr()?),
            Outcome::Raised => format!("failed with exception: {}", value.str()?),
        })
    }

    /// Say in the log that the step held up all the others.
    pub(crate) fn log(&self, py: Python<'_>) -> PyResult<()> {
        static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let logger = LOGGER.get_or_try_init(py, || -> PyResult<_> {
            Ok(py.import("logging")?.call_method1("getLogger", ("boros.scheduler",))?.unbind())
        })?;
        let text = "A step of task %d (%r) took %.3f seconds";
        let task = (text, self.task, &self.routine, self.duration);
        logger.call_method1(py, "warning", task).map(drop)
    }
}

#[pymethods]
impl Step {
    #[getter]
    fn outcome(&self) -> &'static str {
        self.outcome.name()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py).repr()?;
        Ok(format!(
            "Step(task={}, outcome='{}', value={value}, duration={:.6})",
            self.task,
            self.outcome.name(),
            self.duration
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.routine)?;
        visit.call(&self.value)
    }
}

/// `print(text, end=end)`, through whatever `sys.stdout` is now.
pub(crate) fn print(py: Python<'_>, text: &str, end: &str) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item("end", end)?;
    py.import("builtins")?.getattr("print")?.call((text,), Some(&options)).map(drop)
}
