//! Stepping a task: the state machine between a coroutine and what it waits for.
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use crate::asyncio::{self, Asyncio};
use crate::callbacks::Callback;
use crate::cell::Slot;
use crate::context::run_in;
use crate::event_loop::Loop;
use crate::future::Future;
use crate::job::{self, Job};
use crate::parking;
use crate::task::{Task, cancel_waiter};

/// What a step of a coroutine answers.
enum Outcome<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    Raised(PyErr),
}

/// Has `task` stepped soon: with nothing, or by throwing `error` in.
pub(crate) fn schedule(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyResult<()> {
    let py = task.py();
    if let Some(error) = error {
        task.get().set_pending_error(py, Some(error.into_value(py).into_any()));
    }
    let event_loop = task.as_super().get().event_loop();
    if let Some(event_loop) = event_loop.fast(py) {
        event_loop.get().push(py, Job::Step(task.clone().unbind()));
        return Ok(());
    }
    let (function, args, context) = as_callback(task, None)?;
    event_loop.call_soon(py, function, args.bind(py), context)
}

/// The step as a callable with its arguments and context, for loops and programs that need one.
pub(crate) fn as_callback(
    task: &Bound<'_, Task>,
    future: Option<&Py<Future>>,
) -> PyResult<(Py<PyAny>, Py<PyTuple>, Py<PyAny>)> {
    let py = task.py();
    let context = task.get().context(py)?.unbind();
    match future {
        None => {
            let step = TaskStep { task: Slot::new(task.clone().unbind()) };
            Ok((Py::new(py, step)?.into_any(), PyTuple::empty(py).unbind(), context))
        }
        Some(future) => {
            let args = PyTuple::new(py, [future])?.unbind();
            Ok((wakeup_callback(task)?, args, context))
        }
    }
}

/// What wakes `task` when it is called with a future that is done.
pub(crate) fn wakeup_callback(task: &Bound<'_, Task>) -> PyResult<Py<PyAny>> {
    let wakeup = TaskWakeup { task: Slot::new(task.clone().unbind()) };
    Ok(Py::new(task.py(), wakeup)?.into_any())
}

/// Runs the step that [`schedule`] asked for, in the task's context.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
#[inline]
pub(crate) fn run_step(event_loop: &Bound<'_, Loop>, task: &Bound<'_, Task>) -> PyResult<()> {
    let error = take_pending_error(task);
    in_context(event_loop, task, error)
}

/// Runs the step of a task whose future is done, in the task's context.
///
/// # Errors
/// As for [`run_step`].
#[inline]
pub(crate) fn run_wakeup(
    event_loop: &Bound<'_, Loop>,
    task: &Bound<'_, Task>,
    future: &Bound<'_, Future>,
) -> PyResult<()> {
    in_context(event_loop, task, Future::outcome_error(future))
}

fn take_pending_error(task: &Bound<'_, Task>) -> Option<PyErr> {
    let error = task.get().take_pending_error(task.py())?;
    Some(PyErr::from_value(error.into_bound(task.py())))
}

#[inline]
fn in_context(
    event_loop: &Bound<'_, Loop>,
    task: &Bound<'_, Task>,
    error: Option<PyErr>,
) -> PyResult<()> {
    let context = task.get().context(task.py())?;
    let step = || {
        check_pending(task, &error)?;
        Loop::enter_task(event_loop, task)?;
        let result = advance_and_settle(task, error);
        event_loop.get().leave_task(task);
        result
    };
    match run_in(&context, step) {
        Ok(()) => Ok(()),
        Err(error) => failed(task, error),
    }
}

/// Refuses to step a task that is done.
fn check_pending(task: &Bound<'_, Task>, error: &Option<PyErr>) -> PyResult<()> {
    if !task.as_super().get().is_done() {
        return Ok(());
    }
    let py = task.py();
    let error = match error {
        None => "None".to_owned(),
        Some(error) => error.value(py).repr()?.to_string(),
    };
    let message = format!("_step(): already done: {}, {error}", task.repr()?);
    Err(asyncio::invalid_state(py, message))
}

#[cold]
fn failed(task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = task.py();
    let Some(event_loop) = task.as_super().get().event_loop().get(py) else { return Err(error) };
    if asyncio::must_propagate(py, &error) {
        return Err(error);
    }
    let message = format!("Exception in callback: the step of {}", task.repr()?);
    job::report(&event_loop, &message, error)
}

/// One step, asked for through a loop's `call_soon`: with the task as the loop's current one.
fn step(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyResult<()> {
    let py = task.py();
    let event_loop = task.as_super().get().event_loop().get(py);
    let event_loop =
        event_loop.ok_or_else(|| PyRuntimeError::new_err("Task object is not initialized."))?;
    check_pending(task, &error)?;
    asyncio::enter_task(py, &event_loop, task.as_any())?;
    let result = advance_and_settle(task, error);
    let left = asyncio::swap_current_task(py, &event_loop, None);
    result.and(left.map(drop))
}

/// Starts a task at once, in its own context, as the loop's current one; then the caller's task is the
/// current one again.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`, and an error of the context or the loop.
pub(crate) fn run_eagerly(task: &Bound<'_, Task>) -> PyResult<()> {
    let py = task.py();
    let event_loop = task
        .as_super()
        .get()
        .event_loop()
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("Task object is not initialized."))?;
    let context = task.get().context(py)?;
    let before = asyncio::swap_current_task(py, &event_loop, Some(task.as_any()))?;
    let result = run_in(&context, || advance_and_settle(task, None));
    let after = asyncio::swap_current_task(py, &event_loop, before.as_ref());
    if task.as_super().get().is_done() {
        // As the interpreter does: a task that never waited lets go of its coroutine.
        task.get().drop_coro(py);
    }
    result.and(after.map(drop))
}

fn advance_and_settle(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyResult<()> {
    let py = task.py();
    let (state, future) = (task.get(), task.as_super().get());
    let mut error = error;
    if state.must_cancel() {
        let cancelled_error = Asyncio::get(py)?.cancelled_error.bind(py);
        if !error.as_ref().is_some_and(|error| error.is_instance(py, cancelled_error)) {
            error = Some(future.make_cancelled_error(py)?);
        }
        state.set_must_cancel(false);
    }
    state.set_waiter(py, None);
    let Some(coro) = state.coro(py) else {
        return Err(PyRuntimeError::new_err("Task object is not initialized."));
    };
    match advance(&coro, error) {
        Outcome::Yielded(value) => settle_yielded(task, value),
        Outcome::Returned(value) => {
            state.links.unlink();
            if state.must_cancel() {
                // Cancelled while it ran, and it did not wait again.
                state.set_must_cancel(false);
                let message = future.cancel_message(py);
                Future::cancel_now(task.as_super(), message.as_ref()).map(drop)
            } else {
                Future::finish(task.as_super(), value.unbind())
            }
        }
        Outcome::Raised(error) => {
            state.links.unlink();
            settle_raised(task, error)
        }
    }
}

/// Steps the coroutine itself.
#[inline]
fn advance<'py>(coro: &Bound<'py, PyAny>, error: Option<PyErr>) -> Outcome<'py> {
    let py = coro.py();
    let raised = match error {
        None => {
            let mut result = std::ptr::null_mut();
            // SAFETY: the GIL is held, and `result` is a new reference unless the answer is an error.
            unsafe {
                match parking::iter_send(coro.as_ptr(), ffi::Py_None(), &mut result) {
                    ffi::PySendResult::PYGEN_NEXT => {
                        return Outcome::Yielded(Bound::from_owned_ptr(py, result));
                    }
                    ffi::PySendResult::PYGEN_RETURN => {
                        return Outcome::Returned(Bound::from_owned_ptr(py, result));
                    }
                    ffi::PySendResult::PYGEN_ERROR => PyErr::fetch(py),
                }
            }
        }
        Some(error) => match coro.call_method1(intern!(py, "throw"), (error.into_value(py),)) {
            Ok(value) => return Outcome::Yielded(value),
            Err(error) => error,
        },
    };
    if raised.is_instance_of::<PyStopIteration>(py) {
        return match raised.value(py).getattr(intern!(py, "value")) {
            Ok(value) => Outcome::Returned(value),
            Err(error) => Outcome::Raised(error),
        };
    }
    Outcome::Raised(raised)
}

fn settle_raised(task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = task.py();
    let cancelled_error = Asyncio::get(py)?.cancelled_error.bind(py);
    if error.is_instance(py, cancelled_error) {
        let future = task.as_super().get();
        future.keep_cancelled_error(py, error.into_value(py));
        return Future::cancel_now(task.as_super(), None).map(drop);
    }
    let propagate = asyncio::must_propagate(py, &error);
    // `into_value` and not `value`: up to 3.11 the traceback is apart from the exception until then.
    let value = error.clone_ref(py).into_value(py).into_bound(py).into_any();
    let kept = Future::fail(task.as_super(), &value);
    if propagate { Err(error) } else { kept }
}

/// Takes note of what the coroutine waits for; a thing that cannot be waited for is thrown back at it.
fn settle_yielded(task: &Bound<'_, Task>, value: Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if value.is(task) {
        return throw_back(task, format!("Task cannot await on itself: {}", task.repr()?));
    }
    let awaited = if let Ok(future) = value.cast_exact::<Future>() {
        Some(future)
    } else if let Ok(other) = value.cast_exact::<Task>() {
        Some(other.as_super())
    } else {
        None
    };
    let state = task.get();
    if let Some(awaited) = awaited {
        if !awaited.get().event_loop().is_same(py, task.as_super().get().event_loop()) {
            return throw_back(task, different_loop(task, &value)?);
        }
        if !awaited.get().blocking() {
            return throw_back(task, not_awaited(task, &value)?);
        }
        awaited.get().set_blocking(false);
        Future::add_callback(awaited, Callback::Task(task.clone().unbind()))?;
        return wait_for(task, value);
    }
    if value.is_none() {
        // A bare yield gives control back for one turn.
        return schedule(task, None);
    }
    match foreign_blocking(&value)? {
        Some(blocking) => {
            let get_loop = value.getattr_opt(intern!(py, "get_loop"))?;
            let its_loop = match get_loop {
                Some(get_loop) => get_loop.call0()?,
                None => value.getattr(intern!(py, "_loop"))?,
            };
            if !task.as_super().get().event_loop().holds(&its_loop) {
                return throw_back(task, different_loop(task, &value)?);
            }
            if !blocking {
                return throw_back(task, not_awaited(task, &value)?);
            }
            value.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
            let kwargs = PyDict::new(py);
            kwargs.set_item(intern!(py, "context"), state.context(py)?)?;
            value.call_method(
                intern!(py, "add_done_callback"),
                (wakeup_callback(task)?,),
                Some(&kwargs),
            )?;
            wait_for(task, value)
        }
        None if is_generator(&value) => throw_back(
            task,
            format!(
                "yield was used instead of yield from for generator in task {} with {}",
                task.repr()?,
                value.repr()?
            ),
        ),
        None => throw_back(task, format!("Task got bad yield: {}", value.repr()?)),
    }
}

/// The `_asyncio_future_blocking` of what claims to be a future; none if it makes no such claim.
fn foreign_blocking(value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    match value.getattr_opt(intern!(value.py(), "_asyncio_future_blocking"))? {
        Some(blocking) if !blocking.is_none() => blocking.is_truthy().map(Some),
        _ => Ok(None),
    }
}

fn wait_for(task: &Bound<'_, Task>, awaited: Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    let state = task.get();
    state.set_waiter(py, Some(awaited.clone().unbind()));
    if state.must_cancel() {
        let message = task.as_super().get().cancel_message(py);
        if cancel_waiter(&awaited, message.as_ref())? {
            state.set_must_cancel(false);
        }
    }
    Ok(())
}

fn different_loop(task: &Bound<'_, Task>, value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(format!("Task {} got Future {} attached to a different loop", task.repr()?, value.repr()?))
}

fn not_awaited(task: &Bound<'_, Task>, value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(format!(
        "yield was used instead of yield from in task {} with {}",
        task.repr()?,
        value.repr()?
    ))
}

fn throw_back(task: &Bound<'_, Task>, message: String) -> PyResult<()> {
    schedule(task, Some(PyRuntimeError::new_err(message)))
}

/// A task's next step as a callable, for loops that are not ours.
#[pyclass(frozen, module = "boros", name = "TaskStep")]
pub(crate) struct TaskStep {
    task: Slot<Task>,
}

#[pymethods]
impl TaskStep {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        match self.task.get(py) {
            Some(task) => step(&task, take_pending_error(&task)),
            None => Ok(()),
        }
    }

    #[getter]
    fn __self__<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Task>> {
        self.task.get(py)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "Task.task_step"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.task.traverse(visit)
    }

    fn __clear__(&self) {
        self.task.clear();
    }
}

/// What wakes a task as a callable, for futures that are not ours.
#[pyclass(frozen, module = "boros", name = "TaskWakeup")]
pub(crate) struct TaskWakeup {
    task: Slot<Task>,
}

#[pymethods]
impl TaskWakeup {
    #[pyo3(signature = (future, /))]
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = future.py();
        let Some(task) = self.task.get(py) else { return Ok(()) };
        let error = if let Ok(future) = future.cast_exact::<Future>() {
            Future::outcome_error(future)
        } else {
            future.call_method0(intern!(py, "result")).err()
        };
        step(&task, error)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let py = other.py();
        match (self.task.get(py), other.cast::<TaskWakeup>()) {
            (Some(task), Ok(other)) => other.get().task.holds(&task),
            _ => false,
        }
    }

    fn __hash__(&self, py: Python<'_>) -> usize {
        self.task.get(py).map_or(0, |task| task.as_ptr() as usize >> 4)
    }

    #[getter]
    fn __self__<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Task>> {
        self.task.get(py)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "Task.task_wakeup"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.task.traverse(visit)
    }

    fn __clear__(&self) {
        self.task.clear();
    }
}

/// Whether `value` is what calling an `async def` function makes.
pub(crate) fn is_plain_coroutine(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: only the type is looked at.
    unsafe { ffi::Py_IS_TYPE(value.as_ptr(), &raw mut ffi::PyCoro_Type) != 0 }
}

fn is_generator(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: only the type is looked at.
    unsafe { ffi::PyObject_TypeCheck(value.as_ptr(), &raw mut ffi::PyGen_Type) != 0 }
}
