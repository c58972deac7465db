//! The handles that `call_soon`, `call_later` and `call_at` give out.
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use crate::asyncio::{self, Asyncio};
use crate::cell::Slot;
use crate::context::{copy_current, run_in};
use crate::event_loop::Loop;
use crate::parking;
use crate::pool::{self, Pool, Pooled};
use crate::sharing::Sharing;

/// A callback that a loop was asked to run.
#[pyclass(frozen, subclass, weakref, module = "boros", name = "Handle")]
pub(crate) struct Handle {
    callback: Slot,
    args: Slot<PyTuple>,
    context: Slot,
    event_loop: Slot<Loop>,
    source_traceback: Slot,
    /// What it looked like before a cancellation in debug mode took its callback.
    repr: Slot,
    cancelled: AtomicBool,
    /// For a handle that other threads may cancel: see `crate::sharing`.
    sharing: Sharing,
}

impl Handle {
    pub(crate) fn new(
        callback: Py<PyAny>,
        args: Py<PyTuple>,
        context: Py<PyAny>,
        event_loop: Py<Loop>,
        source_traceback: Option<Py<PyAny>>,
    ) -> Self {
        Handle {
            callback: Slot::new(callback),
            args: Slot::new(args),
            context: Slot::new(context),
            event_loop: Slot::new(event_loop),
            source_traceback: Slot::from_option(source_traceback),
            repr: Slot::empty(),
            cancelled: AtomicBool::new(false),
            sharing: Sharing::default(),
        }
    }

    /// Has other threads that cancel the handle wait while its callback runs.
    pub(crate) fn share(&self) {
        self.sharing.share();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    /// Runs the callback in its context. An exception is reported to the loop's handler.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    #[inline]
    pub(crate) fn run(this: &Bound<'_, Self>) -> PyResult<()> {
        if is_exclusive(this) {
            return Handle::run_exclusive(this);
        }
        let py = this.py();
        let handle = this.get();
        let result = if handle.is_cancelled() {
            Ok(())
        } else {
            let _running = handle.sharing.enter();
            match (handle.callback.get(py), handle.args.get(py), handle.context.get(py)) {
                (Some(callback), Some(args), Some(context)) => {
                    match call(&callback, &args, &context) {
                        Ok(_) => Ok(()),
                        Err(error) => Handle::failed(this, error),
                    }
                }
                _ => Ok(()),
            }
        };
        if !is_exclusive(this) {
            // It outlives its job, so it may be part of a cycle from now on.
            pool::track(this);
        }
        result
    }

    /// Runs a handle that nobody else has: what it holds is taken out instead of copied.
    #[inline]
    fn run_exclusive(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let handle = this.get();
        let (Some(callback), Some(args), Some(context)) =
            (handle.callback.take(py), handle.args.take(py), handle.context.take(py))
        else {
            return Ok(());
        };
        let (callback, args, context) =
            (callback.into_bound(py), args.into_bound(py), context.into_bound(py));
        match call(&callback, &args, &context) {
            Ok(_) => Ok(()),
            Err(error) => {
                handle.callback.set(py, Some(callback.unbind()));
                handle.args.set(py, Some(args.unbind()));
                handle.context.set(py, Some(context.unbind()));
                let result = Handle::failed(this, error);
                if !is_exclusive(this) {
                    pool::track(this);
                }
                result
            }
        }
    }

    /// Reports what the callback raised.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit` themselves, and what the exception handler raises.
    #[cold]
    pub(crate) fn failed(this: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = this.py();
        if asyncio::must_propagate(py, &error) {
            return Err(error);
        }
        let handle = this.get();
        let Some(event_loop) = handle.event_loop.get(py) else { return Err(error) };
        // Gone when the callback cancelled its own handle.
        let source = match (handle.callback.get(py), handle.args.get(py)) {
            (Some(callback), Some(args)) => {
                asyncio::format_callback(py, &callback, &args, event_loop.get().is_debug())?
            }
            _ => this.as_any().repr()?.to_string(),
        };
        let context = PyDict::new(py);
        context.set_item("message", format!("Exception in callback {source}"))?;
        context.set_item("exception", error.into_value(py))?;
        context.set_item("handle", this)?;
        if let Some(traceback) = this.get().source_traceback.get(py) {
            context.set_item("source_traceback", traceback)?;
        }
        asyncio::call_exception_handler(event_loop.as_any(), &context)
    }

    /// Marks it cancelled and lets go of what it would have called. Answers whether that was news.
    pub(crate) fn cancel_once(this: &Bound<'_, Self>) -> PyResult<bool> {
        let py = this.py();
        let handle = this.get();
        if handle.is_cancelled() {
            return Ok(false);
        }
        if handle.event_loop.get(py).is_some_and(|event_loop| event_loop.get().is_debug()) {
            // Kept for messages about this handle: the callback is let go of below. One that cannot be made (as
            // while the interpreter shuts down) must not keep the handle from being cancelled.
            let repr = this.as_any().repr().map(|repr| repr.into_any().unbind());
            handle.repr.set(py, repr.ok());
        }
        handle.cancelled.store(true, Relaxed);
        handle.callback.set(py, None);
        handle.args.set(py, None);
        Ok(true)
    }

    fn describe(this: &Bound<'_, PyAny>, class: &Py<PyType>) -> PyResult<String> {
        let info: Vec<String> =
            class.bind(this.py()).call_method1("_repr_info", (this,))?.extract()?;
        Ok(format!("<{}>", info.join(" ")))
    }

    fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callback.traverse(visit)?;
        self.args.traverse(visit)?;
        self.context.traverse(visit)?;
        self.event_loop.traverse(visit)?;
        self.source_traceback.traverse(visit)
    }

    fn clear_all(&self) {
        self.callback.clear();
        self.args.clear();
        self.context.clear();
        self.event_loop.clear();
        self.source_traceback.clear();
    }
}

/// Whether nobody else has a reference to the object.
fn is_exclusive<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: the object is alive.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// Calls `callback(*args)` in `context`.
#[inline]
fn call<'py>(
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    run_in(context, || {
        // SAFETY: the GIL is held; `callback` and `args` are owned by the caller, and a tuple's items stay where
        // they are; the result is a new reference or NULL with an exception set.
        unsafe {
            let items = (*args.as_ptr().cast::<ffi::PyTupleObject>()).ob_item.as_ptr();
            let result = parking::vectorcall(callback.as_ptr(), items, args.len());
            Bound::from_owned_ptr_or_err(callback.py(), result)
        }
    })
}

// SAFETY: the value is the `Handle`, written and dropped whole.
unsafe impl Pooled for Handle {
    type Value = Handle;

    fn pool() -> &'static Pool {
        static POOL: Pool = Pool::new();
        &POOL
    }

    unsafe fn write(object: &Bound<'_, Self>, value: Handle) {
        // SAFETY: the place of the value in an object of this class, which holds none.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().write(value) };
    }

    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>) {
        // SAFETY: the value is there, and not used again.
        unsafe { std::ptr::from_ref(object.get()).cast_mut().drop_in_place() };
    }
}

#[pymethods]
impl Handle {
    #[new]
    #[pyo3(signature = (callback, args, r#loop, context = None))]
    fn __new__(
        callback: Py<PyAny>,
        args: Bound<'_, PyTuple>,
        r#loop: Bound<'_, Loop>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = args.py();
        let context = match context {
            Some(context) => context,
            None => copy_current(py)?,
        };
        let traceback =
            if r#loop.get().is_debug() { Some(asyncio::extract_stack(py)?) } else { None };
        Ok(Handle::new(callback, args.unbind(), context, r#loop.unbind(), traceback))
    }

    /// Keeps the callback from being called. Has no effect once it has been.
    fn cancel(this: &Bound<'_, Self>) -> PyResult<()> {
        this.get().sharing.wait(this.py());
        Handle::cancel_once(this).map(|_| ())
    }

    /// Whether :meth:`cancel` was called.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.sharing.wait(py);
        self.is_cancelled()
    }

    /// The context that the callback runs in.
    fn get_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.get(py)
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = this.py();
        if let Some(repr) = this.get().repr.get(py) {
            return Ok(repr.unbind());
        }
        let text = Handle::describe(this.as_any(), &Asyncio::get(py)?.handle_class)?;
        Ok(text.into_pyobject(py)?.into_any().unbind())
    }

    #[getter(_callback)]
    fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.callback.get(py)
    }

    #[getter(_args)]
    fn args<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyTuple>> {
        self.args.get(py)
    }

    #[getter(_context)]
    fn context_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.get(py)
    }

    #[getter(_loop)]
    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.event_loop.get(py)
    }

    #[getter(_cancelled)]
    fn cancelled_flag(&self) -> bool {
        self.is_cancelled()
    }

    #[getter(_repr)]
    fn kept_repr<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.repr.get(py)
    }

    #[getter(_source_traceback)]
    fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.source_traceback.get(py)
    }

    /// Runs the callback now, as the loop does.
    fn _run(this: &Bound<'_, Self>) -> PyResult<()> {
        Handle::run(this)
    }

    /// What ``isinstance`` falls back on: a handle of ours is an :class:`asyncio.Handle`.
    #[getter]
    fn __class__(this: &Bound<'_, Self>) -> PyResult<Py<PyType>> {
        let asyncio = Asyncio::get(this.py())?;
        if this.get().sharing.is_shared()
            && let Some(class) = &asyncio.thread_safe_handle_class
        {
            return Ok(class.clone_ref(this.py()));
        }
        let class = if this.is_instance_of::<TimerHandle>() {
            &asyncio.timer_handle_class
        } else {
            &asyncio.handle_class
        };
        Ok(class.clone_ref(this.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.visit(visit)
    }

    fn __clear__(&self) {
        self.clear_all();
    }
}

/// A callback that a loop was asked to run at a time.
#[pyclass(frozen, extends = Handle, module = "boros", name = "TimerHandle")]
pub(crate) struct TimerHandle {
    when: f64,
    /// Whether it is in the loop's queue of timers.
    scheduled: AtomicBool,
}

// SAFETY: the value is the `Handle` and the rest of the `TimerHandle`, each written and dropped whole.
unsafe impl Pooled for TimerHandle {
    type Value = (Handle, TimerHandle);

    fn pool() -> &'static Pool {
        static POOL: Pool = Pool::new();
        &POOL
    }

    unsafe fn write(object: &Bound<'_, Self>, (handle, timer): Self::Value) {
        // SAFETY: the places of the values in an object of this class, which holds none.
        unsafe {
            std::ptr::from_ref(object.as_super().get()).cast_mut().write(handle);
            std::ptr::from_ref(object.get()).cast_mut().write(timer);
        }
    }

    unsafe fn drop_value(object: &Borrowed<'_, '_, Self>) {
        // SAFETY: the values are there, and not used again.
        unsafe {
            std::ptr::from_ref(object.get()).cast_mut().drop_in_place();
            std::ptr::from_ref(object.as_super().get()).cast_mut().drop_in_place();
        }
    }
}

impl TimerHandle {
    pub(crate) fn new(when: f64) -> Self {
        TimerHandle { when, scheduled: AtomicBool::new(true) }
    }

    pub(crate) fn leave_queue(&self) {
        self.scheduled.store(false, Relaxed);
    }

    pub(crate) fn when_secs(&self) -> f64 {
        self.when
    }
}

#[pymethods]
impl TimerHandle {
    /// The time at which the callback is due, in seconds of the loop's clock.
    fn when(&self) -> f64 {
        self.when
    }

    /// Keeps the callback from being called. Has no effect once it has been.
    fn cancel(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        if Handle::cancel_once(this.as_super())?
            && this.get().scheduled.load(Relaxed)
            && let Some(event_loop) = this.as_super().get().event_loop.get(py)
        {
            event_loop.get().timer_cancelled(py);
        }
        Ok(())
    }

    #[getter]
    fn _when(&self) -> f64 {
        self.when
    }

    #[getter]
    fn _scheduled(&self) -> bool {
        self.scheduled.load(Relaxed)
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = this.py();
        if let Some(repr) = this.as_super().get().repr.get(py) {
            return Ok(repr.unbind());
        }
        let text = Handle::describe(this.as_any(), &Asyncio::get(py)?.timer_handle_class)?;
        Ok(text.into_pyobject(py)?.into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        self.when.to_bits()
    }

    fn __richcmp__(
        this: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        op: pyo3::pyclass::CompareOp,
    ) -> PyResult<Py<PyAny>> {
        use pyo3::pyclass::CompareOp;
        let py = this.py();
        let Ok(other) = other.cast::<TimerHandle>() else {
            return Ok(py.NotImplemented());
        };
        let (left, right) = (this.get().when, other.get().when);
        let same = || -> PyResult<bool> {
            let (this, other) = (this.as_super().get(), other.as_super().get());
            let equal = |a: Option<Bound<'_, PyAny>>, b: Option<Bound<'_, PyAny>>| match (a, b) {
                (Some(a), Some(b)) => a.eq(b),
                (a, b) => Ok(a.is_none() == b.is_none()),
            };
            Ok(left == right
                && this.is_cancelled() == other.is_cancelled()
                && equal(this.callback.get(py), other.callback.get(py))?
                && equal(
                    this.args.get(py).map(Bound::into_any),
                    other.args.get(py).map(Bound::into_any),
                )?)
        };
        let result = match op {
            CompareOp::Lt => left < right,
            CompareOp::Le => left < right || same()?,
            CompareOp::Gt => left > right,
            CompareOp::Ge => left > right || same()?,
            CompareOp::Eq => same()?,
            CompareOp::Ne => !same()?,
        };
        Ok(result.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __traverse__(&self, _visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

/// How a message names what the loop was doing: a task for its steps, else the handle.
pub(crate) fn describe_for_log<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    if let Some(callback) = handle.get().callback.get(py)
        && let Ok(owner) = callback.getattr(intern!(py, "__self__"))
        && owner.is_instance(Asyncio::get(py)?.task_class.bind(py))?
    {
        return Ok(owner.repr()?.into_any());
    }
    Ok(handle.as_any().str()?.into_any())
}
