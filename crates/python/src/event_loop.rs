//! The loop as Python sees it: scheduling, running, and waiting for descriptors.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use boros::reactor::{Clock, Time};
use boros::{Engine, turn};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use crate::asyncio::{self, Asyncio};
use crate::cell::{GilCell, Slot};
use crate::context;
use crate::errors::io_error;
use crate::face::PyFace;
use crate::handle::{Handle, TimerHandle};
use crate::job::{Job, PyKinds};
use crate::overrides::Overrides;
use crate::parking;
use crate::pool;
use crate::task::Task;
use crate::transport::Streams;

/// The native part of `boros.EventLoop`.
///
/// One thread uses it at a time; only `call_soon_threadsafe` is for others.
#[pyclass(frozen, subclass, weakref, module = "boros._boros", name = "Loop")]
pub(crate) struct Loop {
    /// Gone once the loop is closed.
    engine: GilCell<Option<Engine<PyKinds>>>,
    /// In a process that was forked: the engine of the parent's loop. The kernel's side of it is shared, so it is
    /// not used any more, only kept.
    parents_engine: GilCell<Option<Engine<PyKinds>>>,
    task_factory: Slot,
    /// The thread that runs the loop, or 0.
    thread_id: AtomicU64,
    /// Whether its thread waits for the poller, or for ever: it runs no Python code.
    at_rest: AtomicBool,
    closed: AtomicBool,
    /// Whether this is a forked process's copy of a loop.
    forked: AtomicBool,
    debug: AtomicBool,
    overrides: Overrides,
    /// Neither closed, nor in debug mode, nor with another `call_soon`: jobs may be queued without asking.
    fast: AtomicBool,
    /// Seconds, as the bits of an `f64`.
    slow_callback_duration: AtomicU64,
    /// The task of the last step, which is still the loop's current one in the interpreter's record: the
    /// next step of a task overwrites it, and everything else has it cleared first.
    left_task: Slot<Task>,
    /// In debug mode, what is being run.
    current_handle: Slot<Handle>,
    streams: Streams,
}

impl Loop {
    /// Lends the engine; nothing once the loop is closed.
    #[inline]
    pub(crate) fn engine<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Engine<PyKinds>) -> R,
    ) -> Option<R> {
        self.engine.with(py, |engine| engine.as_mut().map(f))
    }

    /// Lends the engine like [`engine`](Self::engine), without a check.
    ///
    /// # Safety
    /// `f` runs no Python code, and is called by none that the engine is lent to.
    #[inline(always)]
    pub(crate) unsafe fn engine_leaf<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Engine<PyKinds>) -> R,
    ) -> Option<R> {
        // SAFETY: as the caller says.
        unsafe { self.engine.with_leaf(py, |engine| engine.as_mut().map(f)) }
    }

    /// Queues `job`. A closed loop drops it.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, job: Job) {
        // SAFETY: queueing a job runs no Python code, and neither does handing it back.
        let left_over = unsafe {
            self.engine.with_leaf(py, |engine| match engine {
                Some(engine) => {
                    engine.push(job);
                    None
                }
                None => Some(job),
            })
        };
        if let Some(job) = left_over {
            drop(job);
        }
    }

    pub(crate) fn task_factory<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task_factory.get(py)
    }

    /// Whether jobs may be queued without asking `call_soon`.
    #[inline]
    pub(crate) fn is_fast(&self) -> bool {
        self.fast.load(Relaxed)
    }

    #[inline]
    pub(crate) fn is_running_anywhere(&self) -> bool {
        self.thread_id.load(Relaxed) != 0
    }

    /// Shows the queued handles to the collector: from now on nothing keeps the loop alive.
    fn track_queued(&self, py: Python<'_>) {
        let handles: Vec<Py<Handle>> = self
            .engine(py, |engine| {
                let queued = engine.ready().filter_map(|job| match job {
                    Job::Handle(handle) => Some(handle.clone_ref(py)),
                    _ => None,
                });
                queued.collect()
            })
            .unwrap_or_default();
        for handle in handles {
            pool::track(&handle.into_bound(py));
        }
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Relaxed)
    }

    /// Makes `task` the current one for a step.
    ///
    /// # Errors
    /// A `RuntimeError` when another task of the loop is being executed.
    #[inline]
    pub(crate) fn enter_task(this: &Bound<'_, Self>, task: &Bound<'_, Task>) -> PyResult<()> {
        let py = this.py();
        let event_loop = this.get();
        if event_loop.left_task.holds(task) {
            return Ok(());
        }
        if event_loop.left_task.is_some(py) {
            event_loop.left_task.set(py, None);
            return asyncio::swap_current_task(py, this, Some(task.as_any())).map(drop);
        }
        asyncio::enter_task(py, this, task.as_any())
    }

    /// Takes note that the step of `task`, the current one, has ended.
    #[inline]
    pub(crate) fn leave_task(&self, task: &Bound<'_, Task>) {
        if !self.left_task.holds(task) {
            self.left_task.set(task.py(), Some(task.clone().unbind()));
        }
    }

    /// Makes the interpreter's record say that no task is current.
    ///
    /// # Errors
    /// What the interpreter raises.
    #[inline]
    pub(crate) fn clear_left_task(this: &Bound<'_, Self>) -> PyResult<()> {
        if !this.get().left_task.is_some(this.py()) {
            return Ok(());
        }
        this.get().left_task.set(this.py(), None);
        asyncio::swap_current_task(this.py(), this, None).map(drop)
    }

    pub(crate) fn set_current_handle(&self, py: Python<'_>, handle: Option<Py<Handle>>) {
        self.current_handle.set(py, handle);
    }

    pub(crate) fn slow_callback_secs(&self) -> f64 {
        f64::from_bits(self.slow_callback_duration.load(Relaxed))
    }

    /// What the loop's transports share.
    #[inline]
    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    fn update_fast(&self) {
        let fast =
            !self.closed.load(Relaxed) && !self.debug.load(Relaxed) && !self.overrides.call_soon();
        self.fast.store(fast, Relaxed);
    }

    pub(crate) fn set_at_rest(&self, at_rest: bool) {
        self.at_rest.store(at_rest, Relaxed);
    }

    #[cold]
    fn closed_error(&self) -> PyErr {
        PyRuntimeError::new_err(if self.forked.load(Relaxed) {
            "Event loop is closed: it was made before this process was forked, and belongs to the parent; \
             make a new one"
        } else {
            "Event loop is closed"
        })
    }

    pub(crate) fn check_open(&self) -> PyResult<()> {
        if self.closed.load(Relaxed) {
            return Err(self.closed_error());
        }
        Ok(())
    }

    pub(crate) fn now(&self, py: Python<'_>) -> Time {
        if self.overrides.time() {
            // The engine's clock only stands for what the other method answered last.
            return Clock::monotonic().now();
        }
        self.engine(py, |engine| engine.clock().now()).unwrap_or_else(|| Clock::monotonic().now())
    }

    /// What `time()` answers: a subclass may have a clock of its own.
    #[inline]
    pub(crate) fn now_secs(this: &Bound<'_, Self>) -> PyResult<f64> {
        if this.get().overrides.time() {
            return this.call_method0(intern!(this.py(), "time"))?.extract();
        }
        Ok(this.get().now(this.py()).as_secs_f64())
    }

    /// Which of its methods were replaced.
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// Sets the engine's clock by what `time()` answers, if that is not the native one.
    #[inline]
    pub(crate) fn set_clock(this: &Bound<'_, Self>) -> PyResult<()> {
        if this.get().overrides.time() { Loop::set_own_clock(this) } else { Ok(()) }
    }

    #[cold]
    fn set_own_clock(this: &Bound<'_, Self>) -> PyResult<()> {
        let now = Time::from_secs_f64(Loop::now_secs(this)?);
        let clock = Clock::simulated(now);
        this.get().engine(this.py(), |engine| engine.set_clock(clock));
        Ok(())
    }

    /// Looks which methods of the class stand in for ours.
    fn update_overrides(this: &Bound<'_, Self>) -> PyResult<()> {
        let had_own_clock = this.get().overrides.time();
        this.get().overrides.update(this)?;
        Loop::overrides_changed(this, had_own_clock);
        Ok(())
    }

    fn overrides_changed(this: &Bound<'_, Self>, had_own_clock: bool) {
        let event_loop = this.get();
        event_loop.update_fast();
        if had_own_clock && !event_loop.overrides.time() {
            event_loop.engine(this.py(), |engine| engine.set_clock(Clock::monotonic()));
        }
    }

    /// Takes note that a queued timer was cancelled.
    pub(crate) fn timer_cancelled(&self, py: Python<'_>) {
        drop(self.engine(py, Engine::timer_cancelled));
    }

    /// Whether this thread may use the loop: it runs here, or nowhere.
    pub(crate) fn check_thread(&self) -> PyResult<()> {
        let owner = self.thread_id.load(Relaxed);
        if owner != 0 && owner != thread_ident() {
            return Err(PyRuntimeError::new_err(
                "Non-thread-safe operation invoked on an event loop other than the current one",
            ));
        }
        Ok(())
    }

    fn check_callback(&self, callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        let py = callback.py();
        let is_coroutine =
            Asyncio::get(py)?.iscoroutine.bind(py).call1((callback,))?.is_truthy()?
                || py
                    .import("inspect")?
                    .call_method1("iscoroutinefunction", (callback,))?
                    .is_truthy()?;
        if is_coroutine {
            return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
        }
        check_callable(callback, method)
    }

    /// The checks that debug mode adds to scheduling.
    fn check_debug(&self, callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        if method != "call_soon_threadsafe" {
            self.check_thread()?;
        }
        self.check_callback(callback, method)
    }

    pub(crate) fn make_handle(
        this: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
        context: Option<Py<PyAny>>,
        method: &str,
    ) -> PyResult<Handle> {
        let py = this.py();
        this.get().check_open()?;
        let mut source_traceback = None;
        if this.get().is_debug() {
            this.get().check_debug(callback, method)?;
            source_traceback = Some(asyncio::extract_stack(py)?);
        }
        let context = match context {
            Some(context) if !context.is_none(py) => context,
            _ => context::copy_current(py)?,
        };
        Ok(Handle::new(
            callback.clone().unbind(),
            args.unbind(),
            context,
            this.clone().unbind(),
            source_traceback,
        ))
    }

    /// The handle of something that is called again and again, in a copy of the current context.
    pub(crate) fn plain_handle(
        this: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
    ) -> PyResult<Handle> {
        let py = this.py();
        let source_traceback =
            if this.get().is_debug() { Some(asyncio::extract_stack(py)?) } else { None };
        Ok(Handle::new(
            callback.clone().unbind(),
            args.unbind(),
            context::copy_current(py)?,
            this.clone().unbind(),
            source_traceback,
        ))
    }

    pub(crate) fn schedule_at<'py>(
        this: &Bound<'py, Self>,
        when: f64,
        callback: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Py<PyAny>>,
        method: &str,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        let py = this.py();
        let handle = Loop::make_handle(this, callback, args, context, method)?;
        let timer: Bound<'_, TimerHandle> = pool::create(py, (handle, TimerHandle::new(when)))?;
        let queued = timer.clone().unbind();
        this.get().engine(py, |engine| engine.push_timer(Time::from_secs_f64(when), queued));
        Ok(timer)
    }
}

#[inline(always)]
fn check_callable(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    if callback.is_callable() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "a callable object was expected by {method}(), got {}",
        callback.repr()?
    )))
}

pub(crate) fn thread_ident() -> u64 {
    // SAFETY: has no preconditions.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

#[pymethods]
impl Loop {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let engine =
            Engine::new(Clock::monotonic()).map_err(|error| io_error(class.py(), &error))?;
        let event_loop = Loop {
            engine: GilCell::new(Some(engine)),
            task_factory: Slot::empty(),
            thread_id: AtomicU64::new(0),
            at_rest: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            forked: AtomicBool::new(false),
            parents_engine: GilCell::new(None),
            debug: AtomicBool::new(false),
            overrides: Overrides::of_class(class)?,
            fast: AtomicBool::new(false),
            slow_callback_duration: AtomicU64::new(0.1f64.to_bits()),
            left_task: Slot::empty(),
            current_handle: Slot::empty(),
            streams: Streams::new(),
        };
        event_loop.update_fast();
        Ok(event_loop)
    }

    /// Queues a handle that exists.
    fn _push_handle(&self, handle: &Bound<'_, Handle>) {
        self.push(handle.py(), Job::Handle(handle.clone().unbind()));
    }

    /// The time of the loop's clock, in seconds.
    fn time(&self, py: Python<'_>) -> f64 {
        self.now(py).as_secs_f64()
    }

    /// Has tasks made by ``factory(loop, coro, **kwargs)``, or by boros again if it is None.
    fn set_task_factory(&self, factory: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = factory.py();
        if factory.is_none() {
            self.task_factory.set(py, None);
        } else if factory.is_callable() {
            self.task_factory.set(py, Some(factory.clone().unbind()));
        } else {
            return Err(PyTypeError::new_err("task factory must be a callable or None"));
        }
        Ok(())
    }

    /// What was given to :meth:`set_task_factory`.
    fn get_task_factory<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task_factory.get(py)
    }

    /// Ends the loop after the turn under way.
    fn stop(&self, py: Python<'_>) {
        self.engine(py, Engine::stop);
    }

    /// Whether the loop runs, in whichever thread.
    fn is_running(&self) -> bool {
        self.is_running_anywhere()
    }

    /// Whether :meth:`close` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Whether the loop is in debug mode.
    fn get_debug(&self) -> bool {
        self.is_debug()
    }

    fn _set_debug(&self, enabled: bool) {
        self.debug.store(enabled, Relaxed);
        self.update_fast();
    }

    /// In debug mode, callbacks that take longer than this are logged, in seconds.
    #[getter]
    fn get_slow_callback_duration(&self) -> f64 {
        self.slow_callback_secs()
    }

    #[setter]
    fn set_slow_callback_duration(&self, seconds: f64) {
        self.slow_callback_duration.store(seconds.to_bits(), Relaxed);
    }

    fn _check_closed(&self) -> PyResult<()> {
        self.check_open()
    }

    fn _check_running(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_running() {
            return Err(PyRuntimeError::new_err("This event loop is already running"));
        }
        if !asyncio::running_loop(py)?.is_none() {
            return Err(PyRuntimeError::new_err(
                "Cannot run the event loop while another loop is running",
            ));
        }
        Ok(())
    }

    fn _check_thread(&self) -> PyResult<()> {
        self.check_thread()
    }

    fn _check_callback(&self, callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        self.check_callback(callback, method)
    }

    /// Turns until :meth:`stop` is called or a callback raises what must leave the loop.
    fn _run(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let event_loop = this.get();
        event_loop.check_open()?;
        event_loop._check_running(py)?;
        // A class may have been given another method since.
        Loop::update_overrides(this)?;
        asyncio::set_running_loop(py, this)?;
        event_loop.thread_id.store(thread_ident(), Relaxed);
        let face = PyFace::new(this);
        let result = loop {
            parking::park_at_end(this);
            if let Err(error) = Loop::set_clock(this).and_then(|()| turn(&face)) {
                break Err(error);
            }
            // SAFETY: takes a flag back, which runs no Python code.
            if unsafe { event_loop.engine_leaf(py, Engine::take_stop) }.unwrap_or(true) {
                break Ok(());
            }
        };
        let result = result.and(Loop::clear_left_task(this)).and(event_loop.check_open());
        if event_loop.is_closed() {
            // This process was forked during the run.
            drop(event_loop.engine.with(py, Option::take));
        }
        event_loop.track_queued(py);
        event_loop.engine(py, Engine::take_stop);
        event_loop.thread_id.store(0, Relaxed);
        result.and(asyncio::set_running_loop(py, py.None().bind(py)))
    }

    /// One turn, for programs that drive the loop themselves.
    fn _run_once(this: &Bound<'_, Self>) -> PyResult<()> {
        this.get().check_open()?;
        Loop::set_clock(this)?;
        turn(&PyFace::new(this)).and(Loop::clear_left_task(this))
    }

    /// Closes what the native part owns. Answers False if that was done already.
    fn _close(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_running() {
            return Err(PyRuntimeError::new_err("Cannot close a running event loop"));
        }
        if self.closed.swap(true, Relaxed) {
            return Ok(false);
        }
        self.update_fast();
        let engine = self.engine.with(py, Option::take);
        if let Some(mut engine) = engine {
            // Nobody else has the engine now: what it held may run Python code when it goes.
            drop(engine.clear());
        }
        Ok(true)
    }

    /// Whether the loop runs no Python code now, and will not before it has had a look around.
    fn _is_at_rest(&self) -> bool {
        self.at_rest.load(Relaxed)
    }

    /// Called in a process that was forked: the loop is closed here, and lives on in the parent.
    ///
    /// Nothing is dropped, and nothing said to the kernel that would be noticed there.
    fn _after_fork(&self, py: Python<'_>) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        self.forked.store(true, Relaxed);
        self.update_fast();
        let stopped = if self.thread_id.swap(0, Relaxed) == thread_ident() {
            // A turn is under way, and has to come to its end.
            let mut engine = Engine::new(Clock::monotonic()).ok();
            engine.iter_mut().for_each(Engine::stop);
            engine
        } else {
            None
        };
        let parents = self.engine.with(py, |engine| std::mem::replace(engine, stopped));
        self.parents_engine.with(py, |kept| *kept = parents);
    }

    #[getter]
    fn _thread_id(&self) -> Option<u64> {
        Some(self.thread_id.load(Relaxed)).filter(|id| *id != 0)
    }

    #[getter]
    fn _current_handle<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Handle>> {
        self.current_handle.get(py)
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.is_closed()
    }

    #[getter]
    fn _debug(&self) -> bool {
        self.is_debug()
    }

    #[getter]
    fn _task_factory<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task_factory.get(py)
    }

    #[getter]
    fn _stopping(&self, py: Python<'_>) -> bool {
        self.engine(py, |engine| engine.is_stopping()).unwrap_or(false)
    }

    /// The handles that are ready to run, in order: a snapshot.
    #[getter]
    fn _ready<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let jobs: Vec<Job> = this
            .get()
            .engine(py, |engine| engine.ready().map(|job| job.clone_ref(py)).collect())
            .unwrap_or_default();
        let handles = jobs.iter().map(|job| job.as_handle(this)).collect::<PyResult<Vec<_>>>()?;
        py.import("collections")?.getattr("deque")?.call1((handles,))
    }

    /// The handles of timers, the next one first: a snapshot.
    #[getter]
    fn _scheduled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut timers: Vec<Py<TimerHandle>> = self
            .engine(py, |engine| engine.timers().map(|timer| timer.clone_ref(py)).collect())
            .unwrap_or_default();
        timers.sort_by(|a, b| a.get().when_secs().total_cmp(&b.get().when_secs()));
        PyList::new(py, timers)
    }

    #[getter]
    fn _clock_resolution(&self) -> f64 {
        1e-9
    }

    fn __setattr__(
        this: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Loop::set_attribute(this, name, Some(value))
    }

    fn __delattr__(this: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        Loop::set_attribute(this, name, None)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.task_factory.traverse(visit)?;
        self.current_handle.traverse(visit)?;
        self.left_task.traverse(visit)?;
        for engine in [&self.engine, &self.parents_engine] {
            engine
                .inspect(|engine| {
                    let Some(engine) = engine else { return Ok(()) };
                    engine.ready().try_for_each(|job| job.traverse(visit))?;
                    engine.timers().try_for_each(|timer| visit.call(timer))?;
                    engine.watchers().try_for_each(|target| target.traverse(visit))
                })
                .unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.task_factory.clear();
        self.closed.store(true, Relaxed);
        self.update_fast();
        for engine in [&self.engine, &self.parents_engine] {
            if let Some(Some(mut engine)) = engine.take_unlent() {
                drop(engine.clear());
            }
        }
    }
}

impl Loop {
    /// Sets or deletes an attribute of the object, and takes note when that replaces a method.
    fn set_attribute(
        this: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let is_set = value.is_some();
        let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: the GIL is held and the arguments are alive; NULL deletes.
        let result = unsafe { ffi::PyObject_GenericSetAttr(this.as_ptr(), name.as_ptr(), value) };
        if result < 0 {
            return Err(PyErr::fetch(py));
        }
        let had_own_clock = this.get().overrides.time();
        if this.get().overrides.note(name, is_set)? {
            Loop::overrides_changed(this, had_own_clock);
        }
        Ok(())
    }
}
