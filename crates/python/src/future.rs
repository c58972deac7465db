//! `boros.Future`: a result that is not there yet (PEP 3156, CPython's `Lib/asyncio/futures.py`).
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use pyo3::exceptions::{
    PyAttributeError, PyBaseException, PyRuntimeError, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyGenericAlias, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use crate::asyncio::{self, Asyncio};
use crate::callbacks::{Callback, Callbacks};
use crate::cell::{GilCell, Slot};
use crate::context;
use crate::event_loop::Loop;
use crate::finalizer::{self, Finalize};
use crate::future_iter::FutureIter;
use crate::job::Job;
use crate::loop_ref::LoopRef;
use crate::pool::{self, Pool, Pooled};
use crate::step;
use crate::task::Task;

const PENDING: u8 = 0;
const CANCELLED: u8 = 1;
const FINISHED: u8 = 2;

/// A result that is not there yet.
#[pyclass(frozen, subclass, dict, weakref, module = "boros", name = "Future")]
pub(crate) struct Future {
    event_loop: LoopRef,
    state: AtomicU8,
    /// Set by `await`, cleared by the task that takes note of it: proof that the future was awaited.
    blocking: AtomicBool,
    /// An exception was set and nobody has looked at it yet.
    log_traceback: AtomicBool,
    result: Slot,
    exception: Slot<PyBaseException>,
    /// The traceback that the exception came with: each raise starts from there.
    exception_traceback: Slot,
    cancel_message: Slot,
    /// The exception that a cancelled task ended with.
    cancelled_error: Slot<PyBaseException>,
    callbacks: GilCell<Callbacks>,
    source_traceback: Slot,
}

impl Future {
    /// A future that `initialize` has to be called on.
    pub(crate) fn uninitialized() -> Self {
        Future {
            event_loop: LoopRef::empty(),
            state: AtomicU8::new(PENDING),
            blocking: AtomicBool::new(false),
            log_traceback: AtomicBool::new(false),
            result: Slot::empty(),
            exception: Slot::empty(),
            exception_traceback: Slot::empty(),
            cancel_message: Slot::empty(),
            cancelled_error: Slot::empty(),
            callbacks: GilCell::new(Callbacks::None),
            source_traceback: Slot::empty(),
        }
    }

    /// A pending future of a loop of ours.
    pub(crate) fn of_loop(event_loop: &Bound<'_, Loop>) -> PyResult<Self> {
        let future = Future::uninitialized();
        future.event_loop.set_native(event_loop);
        if event_loop.get().is_debug() {
            let py = event_loop.py();
            future.source_traceback.set(py, Some(asyncio::extract_stack(py)?));
        }
        Ok(future)
    }

    /// Makes it a pending future of `event_loop`, or else of the loop that asyncio hands out.
    pub(crate) fn initialize(
        &self,
        py: Python<'_>,
        event_loop: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let event_loop = match event_loop {
            Some(event_loop) if !event_loop.is_none() => event_loop.clone(),
            _ => asyncio::default_loop(py)?,
        };
        let debug = match event_loop.cast::<Loop>() {
            Ok(native) => native.get().is_debug(),
            Err(_) => event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?,
        };
        self.event_loop.set(&event_loop);
        self.state.store(PENDING, Relaxed);
        self.blocking.store(false, Relaxed);
        self.log_traceback.store(false, Relaxed);
        self.result.set(py, None);
        self.exception.set(py, None);
        self.exception_traceback.set(py, None);
        self.cancel_message.set(py, None);
        self.cancelled_error.set(py, None);
        drop(self.callbacks.with(py, std::mem::take));
        let traceback = if debug { Some(asyncio::extract_stack(py)?) } else { None };
        self.source_traceback.set(py, traceback);
        Ok(())
    }

    pub(crate) fn event_loop(&self) -> &LoopRef {
        &self.event_loop
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Relaxed) != PENDING
    }

    pub(crate) fn blocking(&self) -> bool {
        self.blocking.load(Relaxed)
    }

    pub(crate) fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Relaxed);
    }

    pub(crate) fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.source_traceback.get(py)
    }

    pub(crate) fn set_cancel_message(&self, message: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
        let message = message.filter(|message| !message.is_none());
        self.cancel_message.set(py, message.map(|message| message.clone().unbind()));
    }

    pub(crate) fn cancel_message<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cancel_message.get(py)
    }

    pub(crate) fn keep_cancelled_error(&self, py: Python<'_>, error: Py<PyBaseException>) {
        self.cancelled_error.set(py, Some(error));
    }

    /// Whether it has an exception that nobody has looked at.
    pub(crate) fn is_unseen(&self) -> bool {
        self.log_traceback.load(Relaxed)
    }

    pub(crate) fn hush(&self) {
        self.log_traceback.store(false, Relaxed);
    }

    fn check_initialized(&self, py: Python<'_>) -> PyResult<()> {
        if self.event_loop.is_set(py) {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err("Future object is not initialized."))
        }
    }

    fn check_pending(this: &Bound<'_, Self>) -> PyResult<()> {
        let future = this.get();
        if !future.is_done() {
            return future.check_initialized(this.py());
        }
        Err(asyncio::invalid_state(
            this.py(),
            format!("{}: {}", future.state_name(), this.as_any().repr()?),
        ))
    }

    fn state_name(&self) -> &'static str {
        match self.state.load(Relaxed) {
            PENDING => "PENDING",
            CANCELLED => "CANCELLED",
            _ => "FINISHED",
        }
    }

    /// The `CancelledError` to raise for this future.
    pub(crate) fn make_cancelled_error(&self, py: Python<'_>) -> PyResult<PyErr> {
        if let Some(error) = self.cancelled_error.take(py) {
            return Ok(PyErr::from_value(error.into_bound(py).into_any()));
        }
        let class = Asyncio::get(py)?.cancelled_error.bind(py);
        let error = match self.cancel_message.get(py) {
            None => class.call0()?,
            Some(message) => class.call1((message,))?,
        };
        Ok(PyErr::from_value(error))
    }

    /// What `result()` answers or raises.
    #[inline]
    pub(crate) fn take_outcome<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let future = this.get();
        match future.state.load(Relaxed) {
            FINISHED => {
                if let Some(result) = future.result.get(py) {
                    return Ok(result);
                }
                future.log_traceback.store(false, Relaxed);
                let exception = future
                    .exception
                    .get(py)
                    .ok_or_else(|| asyncio::invalid_state(py, "Result is not set.".to_owned()))?;
                let traceback =
                    future.exception_traceback.get(py).unwrap_or_else(|| py.None().into_bound(py));
                exception.setattr(intern!(py, "__traceback__"), traceback)?;
                Err(PyErr::from_value(exception.into_any()))
            }
            CANCELLED => Err(future.make_cancelled_error(py)?),
            _ => Err(asyncio::invalid_state(py, "Result is not set.".to_owned())),
        }
    }

    /// The exception that a wake-up for this future has to throw into the waiter, if any.
    #[inline]
    pub(crate) fn outcome_error(this: &Bound<'_, Self>) -> Option<PyErr> {
        let future = this.get();
        if future.state.load(Relaxed) == FINISHED && future.result.is_some(this.py()) {
            return None;
        }
        Future::take_outcome(this).err()
    }

    pub(crate) fn finish(this: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        let future = this.get();
        if future.is_done() || !future.event_loop.is_set(this.py()) {
            Future::check_pending(this)?;
        }
        future.result.set(this.py(), Some(result));
        future.state.store(FINISHED, Relaxed);
        Future::schedule_callbacks(this)
    }

    pub(crate) fn fail(this: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        Future::check_pending(this)?;
        let exception = match exception.cast::<PyType>() {
            Ok(class) => class.call0()?,
            Err(_) => exception.clone(),
        };
        let Ok(mut exception) = exception.cast_into::<PyBaseException>() else {
            return Err(PyTypeError::new_err("invalid exception object"));
        };
        if exception.is_instance_of::<PyStopIteration>() {
            let message =
                "StopIteration interacts badly with generators and cannot be raised into a Future";
            let version = py.version_info();
            // CPython's gh-112182, which went into two versions at once.
            if version < (3, 11, 8) || (version >= (3, 12) && version < (3, 12, 2)) {
                return Err(PyTypeError::new_err(message));
            }
            let replacement = PyRuntimeError::new_err(message).into_value(py).into_bound(py);
            replacement.setattr(intern!(py, "__cause__"), &exception)?;
            replacement.setattr(intern!(py, "__context__"), &exception)?;
            exception = replacement;
        }
        let traceback = exception.getattr(intern!(py, "__traceback__"))?;
        let future = this.get();
        future.exception_traceback.set(py, Some(traceback.unbind()));
        future.exception.set(py, Some(exception.unbind()));
        future.state.store(FINISHED, Relaxed);
        // Before the callbacks are scheduled: that may fail, and the exception is lost then if unseen.
        future.log_traceback.store(true, Relaxed);
        Future::schedule_callbacks(this)
    }

    /// `Future.cancel` itself, without a task's part.
    pub(crate) fn cancel_now(
        this: &Bound<'_, Self>,
        message: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let future = this.get();
        future.check_initialized(this.py())?;
        future.log_traceback.store(false, Relaxed);
        if future.is_done() {
            return Ok(false);
        }
        future.state.store(CANCELLED, Relaxed);
        future.set_cancel_message(message, this.py());
        Future::schedule_callbacks(this)?;
        Ok(true)
    }

    /// Adds `callback`, or schedules it at once if the future is done.
    pub(crate) fn add_callback(this: &Bound<'_, Self>, callback: Callback) -> PyResult<()> {
        let future = this.get();
        future.check_initialized(this.py())?;
        if future.is_done() {
            Future::schedule(this, callback)
        } else {
            future.callbacks.with(this.py(), |callbacks| callbacks.push(callback));
            Ok(())
        }
    }

    fn schedule_callbacks(this: &Bound<'_, Self>) -> PyResult<()> {
        match this.get().callbacks.with(this.py(), std::mem::take) {
            Callbacks::None => Ok(()),
            Callbacks::One(callback) => Future::schedule(this, callback),
            Callbacks::Many(all) => {
                all.into_iter().try_for_each(|callback| Future::schedule(this, callback))
            }
        }
    }

    #[inline]
    fn schedule(this: &Bound<'_, Self>, callback: Callback) -> PyResult<()> {
        let py = this.py();
        let future = this.clone().unbind();
        if let Some(event_loop) = this.get().event_loop.fast(py) {
            event_loop.get().push(
                py,
                match callback {
                    Callback::Task(task) => Job::Wakeup { task, future },
                    Callback::Python { function, context } => {
                        Job::Callback { function, context, future }
                    }
                },
            );
            return Ok(());
        }
        let (function, args, context) = match callback {
            Callback::Task(task) => step::as_callback(task.bind(py), Some(&future))?,
            Callback::Python { function, context } => {
                (function, PyTuple::new(py, [future])?.unbind(), context)
            }
        };
        this.get().event_loop.call_soon(py, function, args.bind(py), context)
    }

    /// What a program that looks into the list sees of an entry.
    fn callback_pair(py: Python<'_>, callback: &Callback) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        match callback {
            Callback::Task(task) => {
                let task = task.bind(py);
                Ok((step::wakeup_callback(task)?, task.get().context(py)?.unbind()))
            }
            Callback::Python { function, context } => {
                Ok((function.clone_ref(py), context.clone_ref(py)))
            }
        }
    }

    /// Reports an exception that nobody has looked at.
    pub(crate) fn finalize_future(this: &Bound<'_, Self>) {
        let py = this.py();
        let future = this.get();
        if !future.log_traceback.swap(false, Relaxed) {
            return;
        }
        let result = (|| -> PyResult<()> {
            let (Some(event_loop), Some(exception)) =
                (future.event_loop.get(py), future.exception.get(py))
            else {
                return Ok(());
            };
            let context = PyDict::new(py);
            let name = this.get_type().name()?;
            context.set_item("message", format!("{name} exception was never retrieved"))?;
            context.set_item("exception", exception)?;
            context.set_item("future", this)?;
            if let Some(traceback) = future.source_traceback.get(py) {
                context.set_item("source_traceback", traceback)?;
            }
            asyncio::call_exception_handler(&event_loop, &context)
        })();
        if let Err(error) = result {
            error.write_unraisable(py, Some(this.as_any()));
        }
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(visit)?;
        self.result.traverse(visit)?;
        self.exception.traverse(visit)?;
        self.exception_traceback.traverse(visit)?;
        self.cancel_message.traverse(visit)?;
        self.cancelled_error.traverse(visit)?;
        self.source_traceback.traverse(visit)?;
        self.callbacks.inspect(|callbacks| callbacks.traverse(visit)).unwrap_or(Ok(()))
    }

    pub(crate) fn clear(&self) {
        self.event_loop.clear();
        self.result.clear();
        self.exception.clear();
        self.exception_traceback.clear();
        self.cancel_message.clear();
        self.cancelled_error.clear();
        self.source_traceback.clear();
        drop(self.callbacks.take_unlent());
    }

    pub(crate) fn repr_with(
        this: &Bound<'_, PyAny>,
        repr: &Py<PyAny>,
        shown: &str,
    ) -> PyResult<String> {
        let text: String = repr.bind(this.py()).call1((this,))?.extract()?;
        // The interpreter's helper reads `__class__`, which names asyncio's class.
        let name = this.get_type().name()?;
        let prefix = format!("<{shown} ");
        match text.strip_prefix(&prefix) {
            Some(rest) if name != shown => Ok(format!("<{name} {rest}")),
            _ => Ok(text),
        }
    }
}

impl Finalize for Future {
    fn finalize(this: &Bound<'_, Self>) {
        Future::finalize_future(this);
    }
}

// SAFETY: the value is the `Future`, written and dropped whole.
unsafe impl Pooled for Future {
    type Value = Future;
    const FINALIZED: bool = true;

    fn pool() -> &'static Pool {
        static POOL: Pool = Pool::new();
        &POOL
    }

    unsafe fn write(object: &Bound<'_, Self>, value: Future) {
        // SAFETY: the place of the value in an object of this class, which holds none.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().write(value) };
    }

    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>) {
        // SAFETY: the value is there, and not used again.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().drop_in_place() };
    }

    unsafe fn finalize_before_dealloc(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the object is whole. Its finalizer matters only if there is something to report.
        unsafe {
            let py = Python::assume_attached();
            let future = Borrowed::<PyAny>::from_ptr(py, object).cast_unchecked::<Future>();
            future.get().log_traceback.load(Relaxed) && finalizer::finalize_before_dealloc(object)
        }
    }
}

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Future::uninitialized()
    }

    #[pyo3(signature = (*, r#loop = None))]
    fn __init__(this: &Bound<'_, Self>, r#loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.get().initialize(this.py(), r#loop)
    }

    /// The result, once there is one.
    ///
    /// Raises what was set by ``set_exception``, :exc:`asyncio.CancelledError` if the future was
    /// cancelled, and :exc:`asyncio.InvalidStateError` if it is not done.
    fn result<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Future::take_outcome(this)
    }

    /// The exception that was set, or None if a result was.
    ///
    /// Raises :exc:`asyncio.CancelledError` if the future was cancelled, and
    /// :exc:`asyncio.InvalidStateError` if it is not done.
    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBaseException>>> {
        match self.state.load(Relaxed) {
            FINISHED => {
                self.log_traceback.store(false, Relaxed);
                Ok(self.exception.get(py))
            }
            CANCELLED => Err(self.make_cancelled_error(py)?),
            _ => Err(asyncio::invalid_state(py, "Exception is not set.".to_owned())),
        }
    }

    /// Marks the future done with a result.
    ///
    /// Raises :exc:`asyncio.InvalidStateError` if it is done already.
    #[pyo3(signature = (result, /))]
    fn set_result(this: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Future::finish(this, result)
    }

    /// Marks the future done with an exception, given as an instance or a class.
    ///
    /// Raises :exc:`asyncio.InvalidStateError` if it is done already.
    #[pyo3(signature = (exception, /))]
    fn set_exception(this: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Future::fail(this, exception)
    }

    /// Has ``callback(future)`` called soon after the future is done, in ``context`` or a copy of
    /// the current one.
    #[pyo3(signature = (callback, /, *, context = None))]
    fn add_done_callback(
        this: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let context = match context {
            Some(context) => context,
            None => context::copy_current(py)?,
        };
        Future::add_callback(this, Callback::Python { function: callback, context })
    }

    /// Removes all entries that equal ``callback`` and answers how many there were.
    #[pyo3(signature = (callback, /))]
    fn remove_done_callback(
        this: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let py = this.py();
        let future = this.get();
        future.check_initialized(py)?;
        let mut unwanted = Vec::new();
        for entry in future.callbacks.with(py, |callbacks| callbacks.snapshot(py)) {
            // The comparison may run Python code that changes the list.
            let function = Future::callback_pair(py, &entry)?.0;
            if function.is(callback) || function.bind(py).eq(callback)? {
                unwanted.push(entry);
            }
        }
        let removed = future.callbacks.with(py, |callbacks| callbacks.remove(&unwanted));
        Ok(removed.len())
    }

    /// Cancels the future and schedules its callbacks. Answers False if it was done already.
    #[pyo3(signature = (msg = None))]
    fn cancel(this: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Future::cancel_now(this, msg)
    }

    /// Whether the future was cancelled.
    fn cancelled(&self) -> bool {
        self.state.load(Relaxed) == CANCELLED
    }

    /// Whether the future has a result or an exception, or was cancelled.
    fn done(&self) -> bool {
        self.is_done()
    }

    /// The loop that the future belongs to.
    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event_loop
            .get(py)
            .ok_or_else(|| PyRuntimeError::new_err("Future object is not initialized."))
    }

    fn _make_cancelled_error(&self, py: Python<'_>) -> PyResult<Py<PyBaseException>> {
        Ok(self.make_cancelled_error(py)?.into_value(py))
    }

    fn __iter__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, FutureIter>> {
        this.get().check_initialized(this.py())?;
        pool::create(this.py(), FutureIter::new(this.clone().unbind()))
    }

    fn __await__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, FutureIter>> {
        Future::__iter__(this)
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        Future::repr_with(this.as_any(), &Asyncio::get(this.py())?.future_repr, "Future")
    }

    #[classmethod]
    fn __class_getitem__(
        class: &Bound<'_, PyType>,
        item: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Ok(PyGenericAlias::new(class.py(), class.as_any(), item)?.into_any().unbind())
    }

    /// What ``isinstance`` falls back on: a future of ours is an :class:`asyncio.Future`.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        let asyncio = Asyncio::get(this.py())?;
        let class =
            if this.is_instance_of::<Task>() { &asyncio.task_class } else { &asyncio.future_class };
        Ok(class.clone_ref(this.py()))
    }

    #[getter]
    fn _state(&self) -> &'static str {
        self.state_name()
    }

    #[getter]
    fn _asyncio_future_blocking(&self, py: Python<'_>) -> PyResult<bool> {
        self.check_initialized(py).map(|()| self.blocking())
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check_initialized(value.py())?;
        self.set_blocking(value.is_truthy()?);
        Ok(())
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.get(py)
    }

    #[getter]
    fn _callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let entries = self.callbacks.with(py, |callbacks| callbacks.snapshot(py));
        if entries.is_empty() {
            return Ok(None);
        }
        let pairs = entries
            .iter()
            .map(|entry| Future::callback_pair(py, entry))
            .collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, pairs).map(Some)
    }

    #[getter]
    fn _result<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.result.get(py)
    }

    #[getter]
    fn _exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBaseException>> {
        self.exception.get(py)
    }

    #[getter]
    fn _log_traceback(&self) -> bool {
        self.log_traceback.load(Relaxed)
    }

    #[setter(_log_traceback)]
    fn set_log_traceback(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_truthy()? {
            return Err(PyValueError::new_err("_log_traceback can only be set to False"));
        }
        self.hush();
        Ok(())
    }

    #[getter]
    fn _source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.source_traceback.get(py)
    }

    #[getter]
    fn _cancel_message<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cancel_message.get(py)
    }

    #[setter(_cancel_message)]
    fn set_cancel_message_attribute(&self, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) {
        self.set_cancel_message(value, py);
    }

    /// The tasks that wait for this future (3.14's call graphs).
    #[getter]
    fn _asyncio_awaited_by<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, pyo3::types::PySet>>> {
        if !cfg!(Py_3_14) {
            return Err(PyAttributeError::new_err("_asyncio_awaited_by"));
        }
        let waiting: Vec<Py<Task>> = self
            .callbacks
            .with(py, |callbacks| callbacks.snapshot(py))
            .into_iter()
            .filter_map(|entry| match entry {
                Callback::Task(task) => Some(task),
                Callback::Python { .. } => None,
            })
            .collect();
        if waiting.is_empty() {
            return Ok(None);
        }
        pyo3::types::PySet::new(py, waiting).map(Some)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(visit)
    }

    fn __clear__(&self) {
        self.clear();
    }
}
