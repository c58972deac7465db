//! `boros.Scheduler`: a round-robin scheduler for plain generators.

mod sleep;
mod step;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use boros::RoundRobin;
use boros_reactor::{Clock, Time};
use pyo3::exceptions::{PyException, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::iterator::PySendResult;
use pyo3::types::{PyBool, PyDict, PyIterator, PyList};

use sleep::Sleep;
use step::{Outcome, Step, print};

/// Sleeps are made of naps of at most this, which the system's timer can take.
const LONGEST_NAP: Duration = Duration::from_secs(24 * 3600);

/// A task of a `Scheduler`: its `id` and its `routine`, the generator.
#[pyclass(module = "boros.scheduler", frozen)]
struct ScheduledTask {
    #[pyo3(get)]
    id: u64,
    #[pyo3(get)]
    routine: Py<PyIterator>,
    context: Py<PyAny>,
}

#[pymethods]
impl ScheduledTask {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<ScheduledTask {} {}>", self.id, self.routine.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.routine)?;
        visit.call(&self.context)
    }
}

/// What `trace=` asks for.
enum Trace {
    Off,
    Print,
    Call(Py<PyAny>),
}

impl Trace {
    fn new(option: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(option) = option else { return Ok(Self::Off) };
        if let Ok(on) = option.cast::<PyBool>() {
            return Ok(if on.is_true() { Self::Print } else { Self::Off });
        }
        callable("trace", option).map(Self::Call)
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Off => Self::Off,
            Self::Print => Self::Print,
            Self::Call(call) => Self::Call(call.clone_ref(py)),
        }
    }
}

fn callable(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if value.is_callable() {
        return Ok(value.clone().unbind());
    }
    Err(PyTypeError::new_err(format!("{name} must be callable, got {}", value.repr()?)))
}

/// What changes while a scheduler lives. No Python code runs while it is locked.
struct State {
    queue: RoundRobin<Py<ScheduledTask>, Time>,
    /// The addresses of the generators of unfinished tasks, which are alive.
    unfinished: HashSet<usize>,
    next_id: u64,
    running: bool,
    trace: Trace,
    on_blocking: Option<Py<PyAny>>,
}

/// A round-robin scheduler for plain generators, each a task that gives up its
/// turn with `yield`.
///
/// `trace=True` prints a line for every step, and a callable gets a `Step` after
/// each. With `blocking_threshold` (seconds), a step that takes longer is
/// reported: to `on_blocking` as a `Step`, or else as a warning in the log
/// `boros.scheduler`. A task may yield any value; only those of
/// `boros.scheduler.sleep` mean something, others show in traces alone.
///
/// For one thread: another thread's calls are harmless but do not end a sleep.
#[pyclass(module = "boros", frozen, subclass, weakref)]
pub(crate) struct Scheduler {
    clock: Clock,
    state: Mutex<State>,
    /// What the tasks that are done returned, by id.
    #[pyo3(get)]
    results: Py<PyDict>,
    /// The exceptions of the tasks that failed, by id.
    #[pyo3(get)]
    failures: Py<PyDict>,
    blocking_threshold: Option<Duration>,
    /// Whether anybody is told of steps.
    watched: bool,
}

impl Scheduler {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics half-way; and a poisoned lock must not be a dead scheduler.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task whose turn it is, and whether any sleeps instead.
    fn pop(&self) -> Result<Py<ScheduledTask>, Option<Time>> {
        let mut state = self.state();
        if state.queue.next_deadline().is_some() {
            state.queue.wake(self.clock.now());
        }
        state.queue.pop().ok_or_else(|| state.queue.next_deadline())
    }

    /// Run the turns of tasks until none is left.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            // Here, and not first in the next generator, which it would end.
            py.check_signals()?;
            match self.pop() {
                Ok(task) => self.turn(py, task)?,
                Err(Some(deadline)) => pause(py, deadline.since(self.clock.now()))?,
                Err(None) => return Ok(()),
            }
        }
    }

    /// Let `task` make one step, and see to what came of it.
    fn turn(&self, py: Python<'_>, task: Py<ScheduledTask>) -> PyResult<()> {
        if !self.watched {
            let sent = send_in_context(py, task.get());
            return self.settle(py, task, sent)?.end;
        }
        let trace = self.state().trace.clone_ref(py);
        let id = task.get().id;
        if matches!(trace, Trace::Print)
            && let Err(error) = print(py, &format!("Running task {id} ... "), "")
        {
            self.state().queue.unpop(task);
            return Err(error);
        }
        let routine = task.get().routine.clone_ref(py).into_any();
        let begun = self.clock.now();
        let sent = send_in_context(py, task.get());
        let took = self.clock.now().since(begun);
        let Settled { outcome, value, end } = self.settle(py, task, sent)?;
        let step = Step::new(id, routine, outcome, value.unbind(), took.as_secs_f64());
        let told = self.tell(py, step, trace, took);
        end.and(told)
    }

    /// Put `task` where it belongs after a step, or record how it ended.
    fn settle<'py>(
        &self,
        py: Python<'py>,
        task: Py<ScheduledTask>,
        sent: PyResult<PySendResult<'py>>,
    ) -> PyResult<Settled<'py>> {
        let id = task.get().id;
        match sent {
            Ok(PySendResult::Next(value)) => {
                let Ok(request) = value.cast::<Sleep>() else {
                    self.state().queue.push(task);
                    return Ok(Settled { outcome: Outcome::Yielded, value, end: Ok(()) });
                };
                let deadline = self.clock.now().after(request.get().duration());
                self.state().queue.sleep(task, deadline);
                let value = request.get().seconds().into_pyobject(py)?.into_any();
                Ok(Settled { outcome: Outcome::Sleeping, value, end: Ok(()) })
            }
            Ok(PySendResult::Return(value)) => {
                self.forget(task.get());
                self.results.bind(py).set_item(id, &value)?;
                Ok(Settled { outcome: Outcome::Returned, value, end: Ok(()) })
            }
            Err(error) => {
                self.forget(task.get());
                // Not `value`: up to 3.11 that one would lack its traceback.
                let value = error.into_value(py).into_bound(py).into_any();
                self.failures.bind(py).set_item(id, &value)?;
                let end = if value.is_instance_of::<PyException>() {
                    Ok(())
                } else {
                    Err(PyErr::from_value(value.clone()))
                };
                Ok(Settled { outcome: Outcome::Raised, value, end })
            }
        }
    }

    /// A task is no longer there to be run.
    fn forget(&self, task: &ScheduledTask) {
        self.state().unfinished.remove(&(task.routine.as_ptr() as usize));
    }

    /// Tell whoever asked of a step that has ended.
    fn tell(&self, py: Python<'_>, step: Step, trace: Trace, took: Duration) -> PyResult<()> {
        let blocked = self.blocking_threshold.is_some_and(|limit| took > limit);
        if !blocked && matches!(trace, Trace::Off) {
            return Ok(());
        }
        let step = Bound::new(py, step)?;
        match trace {
            Trace::Off => {}
            Trace::Print => print(py, &step.get().line(py)?, "\n")?,
            Trace::Call(call) => drop(call.call1(py, (&step,))?),
        }
        if blocked {
            let report = self.state().on_blocking.as_ref().map(|call| call.clone_ref(py));
            match report {
                Some(call) => drop(call.call1(py, (&step,))?),
                None => step.get().log(py)?,
            }
        }
        Ok(())
    }
}

/// What came of a step; `end` is what the run ends with, if it does.
struct Settled<'py> {
    outcome: Outcome,
    value: Bound<'py, PyAny>,
    end: PyResult<()>,
}

/// Ends a run, however it ends.
struct Running<'a>(&'a Scheduler);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running = false;
    }
}

/// Wait the way Python waits: other threads run, signals are seen.
fn pause(py: Python<'_>, left: Duration) -> PyResult<()> {
    static SLEEP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nap = left.min(LONGEST_NAP).as_secs_f64();
    SLEEP.import(py, "time", "sleep")?.call1((nap,)).map(drop)
}

/// Step a task's generator with None, in the task's own context.
fn send_in_context<'py>(py: Python<'py>, task: &ScheduledTask) -> PyResult<PySendResult<'py>> {
    let context = task.context.as_ptr();
    // SAFETY: `add` made sure that this is a context; `task` keeps it alive.
    if unsafe { ffi::PyContext_Enter(context) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let sent = task.routine.bind(py).send(py.None().bind(py));
    // SAFETY: as above; entered a moment ago. An exception from the generator was
    // taken out of the interpreter by `send`, so none is set here.
    if unsafe { ffi::PyContext_Exit(context) } < 0 {
        return Err(PyErr::fetch(py));
    }
    sent
}

/// The context for a new task: the one given, or a copy of the current one.
fn context_for<'py>(
    py: Python<'py>,
    given: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(context) = given else {
        // SAFETY: returns a new reference, or null with an exception set.
        return unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) };
    };
    // SAFETY: a type check on a live object.
    if unsafe { ffi::PyContext_CheckExact(context.as_ptr()) } != 0 {
        return Ok(context);
    }
    let got = context.repr()?;
    Err(PyTypeError::new_err(format!("a contextvars.Context was expected, got {got}")))
}

/// Refuse what cannot be run step by step, saying why.
fn check_routine<'py>(routine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    let py = routine.py();
    let Ok(iterator) = routine.cast::<PyIterator>() else {
        let hint = if routine.hasattr("__await__")? {
            "; coroutines are for boros.run()"
        } else if routine.is_callable() {
            "; is it to be called first?"
        } else {
            ""
        };
        let got = routine.repr()?;
        return Err(PyTypeError::new_err(format!("a generator was expected, got {got}{hint}")));
    };
    // Iterators that are not generators have neither attribute.
    if let Some(running) = routine.getattr_opt("gi_running")?
        && running.is_truthy()?
    {
        return Err(PyValueError::new_err("generator already executing"));
    }
    if let Some(frame) = routine.getattr_opt("gi_frame")?
        && frame.is(py.None())
    {
        let got = routine.repr()?;
        return Err(PyRuntimeError::new_err(format!("cannot run a finished generator: {got}")));
    }
    Ok(iterator.clone())
}

#[pymethods]
impl Scheduler {
    #[new]
    #[pyo3(signature = (*, trace=None, blocking_threshold=None, on_blocking=None))]
    fn new(
        py: Python<'_>,
        trace: Option<&Bound<'_, PyAny>>,
        blocking_threshold: Option<f64>,
        on_blocking: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let blocking_threshold = blocking_threshold
            .map(|seconds| {
                Duration::try_from_secs_f64(seconds).map_err(|_| {
                    PyValueError::new_err(format!(
                        "blocking_threshold must be seconds from 0 up, got {seconds}"
                    ))
                })
            })
            .transpose()?;
        let trace = Trace::new(trace)?;
        let watched = blocking_threshold.is_some() || !matches!(trace, Trace::Off);
        Ok(Self {
            clock: Clock::monotonic(),
            state: Mutex::new(State {
                queue: RoundRobin::new(),
                unfinished: HashSet::new(),
                next_id: 0,
                running: false,
                trace,
                on_blocking: on_blocking.map(|call| callable("on_blocking", call)).transpose()?,
            }),
            results: PyDict::new(py).unbind(),
            failures: PyDict::new(py).unbind(),
            blocking_threshold,
            watched,
        })
    }

    /// Add a generator as a task and return the task's id: 0, 1, 2, ….
    ///
    /// It runs in `context`, by default a copy of the current one. A task may
    /// add tasks. Raises TypeError for what is neither a generator nor another
    /// iterator, ValueError for a generator that is running or has been added
    /// before, RuntimeError for one that is finished.
    #[pyo3(signature = (generator, /, *, context=None))]
    fn add<'py>(
        &self,
        py: Python<'py>,
        generator: &Bound<'py, PyAny>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<u64> {
        let routine = check_routine(generator)?;
        let context = context_for(py, context)?;
        let id = {
            let mut state = self.state();
            if !state.unfinished.insert(routine.as_ptr() as usize) {
                drop(state);
                return Err(PyValueError::new_err("generator is already a task of this scheduler"));
            }
            let id = state.next_id;
            state.next_id += 1;
            id
        };
        let task = ScheduledTask { id, routine: routine.unbind(), context: context.unbind() };
        let task = Py::new(py, task)?;
        self.state().queue.push(task);
        Ok(id)
    }

    /// Run all tasks, a step of each in turn, until none is left.
    ///
    /// A task that raises is recorded in `failures` and the others go on.
    /// KeyboardInterrupt, SystemExit and their kind leave this method (and are
    /// recorded, if a task raised them), as does whatever a trace or report
    /// raises; the tasks that are left go on at the next call. Raises
    /// RuntimeError if the scheduler is running already.
    fn run_until_complete(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::replace(&mut self.state().running, true) {
            return Err(PyRuntimeError::new_err("this scheduler is already running"));
        }
        let _running = Running(self);
        self.run(py)
    }

    /// The tasks that are not finished, those that sleep last; a new list.
    ///
    /// The task that asks is not among them.
    #[getter]
    fn executable_tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let tasks: Vec<_> =
            self.state().queue.in_order().into_iter().map(|task| task.clone_ref(py)).collect();
        PyList::new(py, tasks)
    }

    /// Another name of `results`.
    #[getter]
    fn completed_task_results(&self, py: Python<'_>) -> Py<PyDict> {
        self.results.clone_ref(py)
    }

    /// Another name of `failures`.
    #[getter]
    fn failed_task_error(&self, py: Python<'_>) -> Py<PyDict> {
        self.failures.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let unfinished = self.state().unfinished.len();
        let (done, failed) = (self.results.bind(py).len(), self.failures.bind(py).len());
        format!("<boros.Scheduler unfinished={unfinished} results={done} failures={failed}>")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.results)?;
        visit.call(&self.failures)?;
        // Locked by another thread: then what it holds is in use, and not garbage.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        if let Trace::Call(call) = &state.trace {
            visit.call(call)?;
        }
        visit.call(&state.on_blocking)?;
        state.queue.iter().try_for_each(|task| visit.call(task))
    }

    fn __clear__(&self) {
        // Let go of after the lock: dropping a generator runs its code.
        let _gone = {
            let mut state = self.state();
            state.unfinished.clear();
            (
                std::mem::replace(&mut state.queue, RoundRobin::new()),
                std::mem::replace(&mut state.trace, Trace::Off),
                state.on_blocking.take(),
            )
        };
    }
}

/// Add this module's classes and functions to the extension module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Scheduler>()?;
    module.add_class::<ScheduledTask>()?;
    module.add_class::<Step>()?;
    module.add_function(wrap_pyfunction!(sleep::sleep, module)?)
}
