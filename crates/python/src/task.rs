//! `boros.Task`: a future that runs a coroutine (PEP 3156, CPython's `Lib/asyncio/tasks.py`).
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use pyo3::exceptions::{PyRecursionError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use crate::asyncio::{self, Asyncio};
use crate::cell::Slot;
use crate::context;
use crate::event_loop::Loop;
use crate::finalizer::{self, Finalize};
use crate::future::Future;
use crate::pool::{self, Pool, Pooled};
use crate::step;
use crate::task_list::Links;

/// Numbers the tasks that were given no name.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A coroutine wrapped in a future.
#[pyclass(frozen, subclass, extends = Future, module = "boros", name = "Task")]
pub(crate) struct Task {
    coro: Slot,
    context: Slot,
    /// The name, if one was given or asked for; else it is made of `number`.
    name: Slot,
    number: AtomicU64,
    /// What the task waits for.
    waiter: Slot,
    /// The exception that the scheduled step throws in.
    pending_error: Slot,
    must_cancel: AtomicBool,
    cancel_requests: AtomicI64,
    log_destroy_pending: AtomicBool,
    pub(crate) links: Links,
}

impl Task {
    fn uninitialized() -> Self {
        Task {
            coro: Slot::empty(),
            context: Slot::empty(),
            name: Slot::empty(),
            number: AtomicU64::new(0),
            waiter: Slot::empty(),
            pending_error: Slot::empty(),
            must_cancel: AtomicBool::new(false),
            cancel_requests: AtomicI64::new(0),
            log_destroy_pending: AtomicBool::new(true),
            links: Links::default(),
        }
    }

    /// A task of a loop of ours, scheduled.
    pub(crate) fn spawn<'py>(
        event_loop: &Bound<'py, Loop>,
        coro: &Bound<'py, PyAny>,
        name: Option<&Bound<'py, PyAny>>,
        context: Option<Py<PyAny>>,
        eager_start: bool,
    ) -> PyResult<Bound<'py, Task>> {
        let future = Future::of_loop(event_loop)?;
        let task: Bound<'_, Task> = pool::create(event_loop.py(), (future, Task::uninitialized()))?;
        Task::start(&task, coro, name, context, eager_start)?;
        Ok(task)
    }

    fn start(
        this: &Bound<'_, Self>,
        coro: &Bound<'_, PyAny>,
        name: Option<&Bound<'_, PyAny>>,
        context: Option<Py<PyAny>>,
        eager_start: bool,
    ) -> PyResult<()> {
        let py = this.py();
        let task = this.get();
        let is_coroutine = step::is_plain_coroutine(coro)
            || Asyncio::get(py)?.iscoroutine.bind(py).call1((coro,))?.is_truthy()?;
        if !is_coroutine {
            task.log_destroy_pending.store(false, Relaxed);
            return Err(PyTypeError::new_err(format!(
                "a coroutine was expected, got {}",
                coro.repr()?
            )));
        }
        match name {
            Some(name) if !name.is_none() => task.rename(name)?,
            _ => task.number.store(NEXT_NUMBER.fetch_add(1, Relaxed), Relaxed),
        }
        let context = match context {
            Some(context) if !context.is_none(py) => context,
            _ => context::copy_current(py)?,
        };
        task.waiter.set(py, None);
        task.must_cancel.store(false, Relaxed);
        task.cancel_requests.store(0, Relaxed);
        task.context.set(py, Some(context));
        task.coro.set(py, Some(coro.clone().unbind()));
        Links::link(this);
        if eager_start && task.is_loop_running(this)? {
            step::run_eagerly(this)
        } else {
            step::schedule(this, None)
        }
    }

    fn is_loop_running(&self, this: &Bound<'_, Self>) -> PyResult<bool> {
        let py = this.py();
        match this.as_super().get().event_loop().get(py) {
            Some(event_loop) => event_loop.call_method0(intern!(py, "is_running"))?.is_truthy(),
            None => Ok(false),
        }
    }

    fn rename(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = if name.is_exact_instance_of::<PyString>() {
            name.clone()
        } else {
            name.str()?.into_any()
        };
        self.name.set(name.py(), Some(name.unbind()));
        Ok(())
    }

    pub(crate) fn coro<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.coro.get(py)
    }

    pub(crate) fn drop_coro(&self, py: Python<'_>) {
        self.coro.set(py, None);
    }

    pub(crate) fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.context
            .get(py)
            .ok_or_else(|| PyRuntimeError::new_err("Task object is not initialized."))
    }

    pub(crate) fn set_waiter(&self, py: Python<'_>, waiter: Option<Py<PyAny>>) {
        self.waiter.set(py, waiter);
    }

    pub(crate) fn set_pending_error(&self, py: Python<'_>, error: Option<Py<PyAny>>) {
        self.pending_error.set(py, error);
    }

    pub(crate) fn take_pending_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.pending_error.take(py)
    }

    pub(crate) fn must_cancel(&self) -> bool {
        self.must_cancel.load(Relaxed)
    }

    pub(crate) fn set_must_cancel(&self, must_cancel: bool) {
        self.must_cancel.store(must_cancel, Relaxed);
    }

    /// Asks the task to end: `Task.cancel` of the interpreter.
    ///
    /// Goes down the chain of tasks that wait for each other, which may be longer than the stack is deep.
    ///
    /// # Errors
    /// A `RecursionError` when the chain is a circle, and what the `cancel` of an awaited object raises.
    pub(crate) fn request_cancel(
        this: &Bound<'_, Self>,
        message: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = this.py();
        if !Task::count_cancel_request(this) {
            return Ok(false);
        }
        let mut task = this.clone();
        // A task that comes again after it was marked shows a circle. The mark moves on now and then, since the
        // chain may lead into a circle that its beginning is no part of.
        let (mut marked, mut steps, mut limit) = (this.clone(), 0_u32, 16_u32);
        while let Some(waiter) = task.get().waiter.get(py) {
            let Ok(next) = waiter.cast_exact::<Task>() else {
                if cancel_waiter(&waiter, message)? {
                    // The task is woken by what it waited for, with the cancellation as the outcome.
                    return Ok(true);
                }
                break;
            };
            if !Task::count_cancel_request(next) {
                break;
            }
            if next.is(&marked) {
                return Err(PyRecursionError::new_err(format!(
                    "cannot cancel a task that waits for itself: {}",
                    next.repr()?
                )));
            }
            steps += 1;
            if steps == limit {
                (marked, steps, limit) = (next.clone(), 0, limit.saturating_mul(2));
            }
            task = next.clone();
        }
        task.get().must_cancel.store(true, Relaxed);
        task.as_super().get().set_cancel_message(message, py);
        Ok(true)
    }

    /// Answers False if the task is done.
    fn count_cancel_request(this: &Bound<'_, Self>) -> bool {
        let future = this.as_super().get();
        future.hush();
        if future.is_done() {
            return false;
        }
        this.get().cancel_requests.fetch_add(1, Relaxed);
        true
    }
}

/// Cancels what a task waits for, and answers whether that was possible.
pub(crate) fn cancel_waiter(
    waiter: &Bound<'_, PyAny>,
    message: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    if let Ok(future) = waiter.cast_exact::<Future>() {
        return Future::cancel_now(future, message);
    }
    if let Ok(task) = waiter.cast_exact::<Task>() {
        return Task::request_cancel(task, message);
    }
    let py = waiter.py();
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "msg"), message)?;
    waiter.call_method(intern!(py, "cancel"), (), Some(&kwargs))?.is_truthy()
}

impl Drop for Task {
    fn drop(&mut self) {
        self.links.unlink();
    }
}

impl Finalize for Task {
    fn finalize(this: &Bound<'_, Self>) {
        let py = this.py();
        let (task, future) = (this.get(), this.as_super().get());
        // Nobody can run it any more, also if what is called below keeps it.
        task.links.unlink();
        let lost = !future.is_done()
            && task.log_destroy_pending.swap(false, Relaxed)
            && task.coro.is_some(py);
        if lost && let Some(event_loop) = future.event_loop().get(py) {
            let result = (|| -> PyResult<()> {
                let context = PyDict::new(py);
                context.set_item("task", this)?;
                context.set_item("message", "Task was destroyed but it is pending!")?;
                if let Some(traceback) = future.source_traceback(py) {
                    context.set_item("source_traceback", traceback)?;
                }
                asyncio::call_exception_handler(&event_loop, &context)
            })();
            if let Err(error) = result {
                error.write_unraisable(py, Some(this.as_any()));
            }
        }
        Future::finalize_future(this.as_super());
    }
}

// SAFETY: the value is the `Future` and the rest of the `Task`, each written and dropped whole.
unsafe impl Pooled for Task {
    type Value = (Future, Task);
    const FINALIZED: bool = true;

    fn pool() -> &'static Pool {
        static POOL: Pool = Pool::new();
        &POOL
    }

    unsafe fn write(object: &Bound<'_, Self>, (future, task): Self::Value) {
        // SAFETY: the places of the values in an object of this class, which holds none.
        unsafe {
            std::ptr::from_ref(object.as_super().get()).cast_mut().write(future);
            std::ptr::from_ref(object.get()).cast_mut().write(task);
        }
    }

    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>) {
        // SAFETY: the values are there, and not used again.
        unsafe {
            std::ptr::from_ref(object.get()).cast_mut().drop_in_place();
            std::ptr::from_ref(object.as_super().get()).cast_mut().drop_in_place();
        }
    }

    unsafe fn finalize_before_dealloc(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the object is whole. Its finalizer matters only if there is something to report.
        unsafe {
            let py = Python::assume_attached();
            let task = Borrowed::<PyAny>::from_ptr(py, object).cast_unchecked::<Task>();
            let future = task.as_super().get();
            (!future.is_done() || future.is_unseen()) && finalizer::finalize_before_dealloc(object)
        }
    }
}

#[pymethods]
impl Task {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Future::uninitialized()).add_subclass(Task::uninitialized())
    }

    #[pyo3(signature = (coro, *, r#loop = None, name = None, context = None, eager_start = None))]
    fn __init__(
        this: &Bound<'_, Self>,
        coro: &Bound<'_, PyAny>,
        r#loop: Option<&Bound<'_, PyAny>>,
        name: Option<&Bound<'_, PyAny>>,
        context: Option<Py<PyAny>>,
        eager_start: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // None, which later versions pass, means no.
        let eager_start = eager_start.map_or(Ok(false), |eager_start| eager_start.is_truthy())?;
        this.as_super().get().initialize(this.py(), r#loop)?;
        Task::start(this, coro, name, context, eager_start)
    }

    /// Asks the task to end: :exc:`asyncio.CancelledError` is raised where it waits.
    ///
    /// Answers False if it was done already. ``msg`` becomes the exception's argument.
    #[pyo3(signature = (msg = None))]
    fn cancel(this: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Task::request_cancel(this, msg)
    }

    /// How many requests to cancel are pending.
    fn cancelling(&self) -> i64 {
        self.cancel_requests.load(Relaxed)
    }

    /// Takes back one request to cancel and answers how many are left.
    fn uncancel(&self) -> i64 {
        let pending = self.cancel_requests.load(Relaxed);
        if pending > 0 {
            self.cancel_requests.store(pending - 1, Relaxed);
            if pending == 1 && cfg!(Py_3_13) {
                self.must_cancel.store(false, Relaxed);
            }
        }
        self.cancel_requests.load(Relaxed)
    }

    /// Not for tasks: the result is what the coroutine returns.
    #[pyo3(signature = (_result, /))]
    fn set_result(&self, _result: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Task does not support set_result operation"))
    }

    /// Not for tasks: the exception is what the coroutine raises.
    #[pyo3(signature = (_exception, /))]
    fn set_exception(&self, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
    }

    /// The coroutine, or None if the task ended while it was started eagerly.
    fn get_coro<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.coro.get(py)
    }

    /// The context that the coroutine runs in.
    fn get_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.get(py)
    }

    /// The task's name.
    fn get_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(name) = self.name.get(py) {
            return Ok(name);
        }
        let name = PyString::new(py, &format!("Task-{}", self.number.load(Relaxed))).into_any();
        self.name.set(py, Some(name.clone().unbind()));
        Ok(name)
    }

    /// Renames the task; what is no string is made one.
    #[pyo3(signature = (value, /))]
    fn set_name(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.rename(value)
    }

    /// The frames in which the task is suspended, or those of the traceback it ended with.
    #[pyo3(signature = (*, limit = None))]
    fn get_stack<'py>(
        this: &Bound<'py, Self>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Asyncio::get(this.py())?.task_get_stack.bind(this.py()).call1((this, limit))
    }

    /// Prints what :meth:`get_stack` answers, to ``file`` or else to ``sys.stderr``.
    #[pyo3(signature = (*, limit = None, file = None))]
    fn print_stack<'py>(
        this: &Bound<'py, Self>,
        limit: Option<&Bound<'py, PyAny>>,
        file: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Asyncio::get(this.py())?.task_print_stack.bind(this.py()).call1((this, limit, file))
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        Future::repr_with(this.as_any(), &Asyncio::get(this.py())?.task_repr, "Task")
    }

    #[getter]
    fn _coro<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.coro.get(py)
    }

    #[getter]
    fn _context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.get(py)
    }

    #[getter]
    fn _fut_waiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.waiter.get(py)
    }

    #[getter]
    fn _must_cancel(&self) -> bool {
        self.must_cancel()
    }

    #[setter(_must_cancel)]
    fn set_must_cancel_attribute(&self, value: bool) {
        self.set_must_cancel(value);
    }

    #[getter]
    fn _num_cancels_requested(&self) -> i64 {
        self.cancelling()
    }

    #[setter(_num_cancels_requested)]
    fn set_num_cancels_requested(&self, value: i64) {
        self.cancel_requests.store(value, Relaxed);
    }

    #[getter]
    fn _log_destroy_pending(&self) -> bool {
        self.log_destroy_pending.load(Relaxed)
    }

    #[setter(_log_destroy_pending)]
    fn set_log_destroy_pending(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.log_destroy_pending.store(value.is_truthy()?, Relaxed);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.coro.traverse(visit)?;
        self.context.traverse(visit)?;
        self.name.traverse(visit)?;
        self.waiter.traverse(visit)?;
        self.pending_error.traverse(visit)
    }

    fn __clear__(&self) {
        self.coro.clear();
        self.context.clear();
        self.name.clear();
        self.waiter.clear();
        self.pending_error.clear();
    }
}

/// All tasks of ours that are not done, of every loop and thread.
#[pyfunction]
pub(crate) fn pending_tasks(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, Links::all(py))
}
