//! What the loop's queue holds: a closed set of jobs, so that waking a task makes no Python object.
use std::os::fd::RawFd;

use boros::Kinds;
use boros::reactor::{Direction, Readiness};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::asyncio;
use crate::context::{copy_current, run_in};
use crate::event_loop::Loop;
use crate::future::Future;
use crate::handle::{Handle, TimerHandle};
use crate::parking;
use crate::step;
use crate::task::Task;
use crate::transport::{self, Listener, PipeEnd, StreamTransport};

/// One thing to run.
pub(crate) enum Job {
    /// Step a task: with the exception that is kept in it, or else with nothing.
    Step(Py<Task>),
    /// Step a task that waited for a future, which is done.
    Wakeup { task: Py<Task>, future: Py<Future> },
    /// Call what a future's `add_done_callback` was given.
    Callback { function: Py<PyAny>, context: Py<PyAny>, future: Py<Future> },
    /// Call what the user asked for by `call_soon` and its like.
    Handle(Py<Handle>),
    /// Tell a transport that its socket can be read.
    Readable(Py<StreamTransport>),
    /// Tell a transport that its socket can be written.
    Writable(Py<StreamTransport>),
    /// Introduce a new transport to its protocol, and wake who waits for that.
    Connected { transport: Py<StreamTransport>, made: Py<PyAny>, waiter: Option<Py<PyAny>> },
    /// Tell a protocol that its connection is gone, and why.
    ConnectionLost { transport: Py<StreamTransport>, error: Option<Py<PyAny>>, context: Py<PyAny> },
    /// Accept what connections wait.
    Accept(Py<Listener>),
    /// Tell a transport that its pipe is ready.
    Pipe(PipeEnd, Direction),
}

/// Who waits for a descriptor.
pub(crate) enum Target {
    /// What `add_reader` or `add_writer` was given.
    Handle(Py<Handle>),
    /// A connection.
    Stream(Py<StreamTransport>),
    /// A listening socket.
    Listener(Py<Listener>),
    /// A pipe.
    Pipe(PipeEnd),
}

impl Target {
    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Target::Handle(handle) => visit.call(handle),
            Target::Stream(transport) => visit.call(transport),
            Target::Listener(listener) => visit.call(listener),
            Target::Pipe(end) => end.traverse(visit),
        }
    }

    /// The transport, if one waits.
    pub(crate) fn as_stream(&self, py: Python<'_>) -> Option<Py<StreamTransport>> {
        match self {
            Target::Stream(transport) => Some(transport.clone_ref(py)),
            Target::Handle(_) | Target::Listener(_) | Target::Pipe(_) => None,
        }
    }
}

/// The kinds of things that the Python face queues.
pub(crate) struct PyKinds;

impl Kinds for PyKinds {
    type Job = Job;
    type Target = Target;
    type Timer = Py<TimerHandle>;
    type Remote = Job;

    fn received(job: Job) -> Job {
        job
    }

    fn ready(target: &Target, _fd: RawFd, direction: Direction, _readiness: Readiness) -> Job {
        // SAFETY: the engine is only ever lent with the GIL held, see `GilCell`.
        let py = unsafe { Python::assume_attached() };
        match target {
            Target::Handle(handle) => Job::Handle(handle.clone_ref(py)),
            Target::Stream(transport) => {
                let transport = transport.clone_ref(py);
                match direction {
                    Direction::Read => Job::Readable(transport),
                    Direction::Write => Job::Writable(transport),
                }
            }
            Target::Listener(listener) => Job::Accept(listener.clone_ref(py)),
            Target::Pipe(end) => Job::Pipe(end.clone_ref(py), direction),
        }
    }

    fn expired(timer: Py<TimerHandle>) -> Result<Job, Py<TimerHandle>> {
        // SAFETY: the engine is only ever lent with the GIL held, see `GilCell`.
        let py = unsafe { Python::assume_attached() };
        let timer = timer.into_bound(py);
        timer.get().leave_queue();
        if timer.as_super().get().is_cancelled() {
            Err(timer.unbind())
        } else {
            Ok(Job::Handle(timer.into_super().unbind()))
        }
    }

    fn is_cancelled(timer: &Py<TimerHandle>) -> bool {
        // SAFETY: the engine is only ever lent with the GIL held, see `GilCell`.
        let py = unsafe { Python::assume_attached() };
        let cancelled = timer.bind(py).as_super().get().is_cancelled();
        if cancelled {
            timer.get().leave_queue();
        }
        cancelled
    }
}

impl Job {
    /// Runs the job. Exceptions are kept in the task or reported to the loop's handler.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    #[inline]
    pub(crate) fn run(self, py: Python<'_>, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        match self {
            Job::Step(task) => step::run_step(event_loop, &task.into_bound(py)),
            Job::Wakeup { task, future } => {
                step::run_wakeup(event_loop, &task.into_bound(py), &future.into_bound(py))
            }
            other => {
                Loop::clear_left_task(event_loop)?;
                other.run_outside_tasks(py, event_loop)
            }
        }
    }

    /// Runs a job that is no step of a task.
    #[inline]
    fn run_outside_tasks(self, py: Python<'_>, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        match self {
            Job::Step(_) | Job::Wakeup { .. } => Ok(()),
            Job::Handle(handle) => Handle::run(&handle.into_bound(py)),
            Job::Readable(transport) => {
                let transport = transport.into_bound(py);
                transport::read_ready(&transport)
                    .or_else(|error| failed(event_loop, &transport, "_read_ready", error))
            }
            Job::Writable(transport) => {
                let transport = transport.into_bound(py);
                transport::write_ready(&transport)
                    .or_else(|error| failed(event_loop, &transport, "_write_ready", error))
            }
            Job::Connected { transport, made, waiter } => {
                StreamTransport::start(&transport.into_bound(py), made, waiter)
            }
            Job::ConnectionLost { ref transport, ref error, ref context } => {
                let transport = transport.bind(py);
                let result =
                    run_in(context.bind(py), || StreamTransport::lose(transport, error.as_ref()));
                match result {
                    Ok(()) => Ok(()),
                    Err(error) => Handle::failed(self.as_handle(event_loop)?.bind(py), error),
                }
            }
            Job::Accept(listener) => {
                let listener = listener.into_bound(py);
                Listener::accept_ready(&listener)
                    .or_else(|error| failed(event_loop, &listener, "_accept_ready", error))
            }
            Job::Pipe(end, direction) => end.ready(py, direction).or_else(|error| {
                failed(event_loop, &end.as_any(py), PipeEnd::method(direction), error)
            }),
            Job::Callback { function, context, future } => {
                let (function, context, future) =
                    (function.into_bound(py), context.into_bound(py), future.into_bound(py));
                // SAFETY: the GIL is held and the objects are owned here; the result is a new reference or NULL
                // with an exception set.
                let result = run_in(&context, || unsafe {
                    let args = [future.as_ptr()];
                    let result = parking::vectorcall(function.as_ptr(), args.as_ptr(), args.len());
                    Bound::from_owned_ptr_or_err(py, result)
                });
                match result {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        let args = PyTuple::new(py, [future])?.unbind();
                        let handle = Handle::new(
                            function.unbind(),
                            args,
                            context.unbind(),
                            event_loop.clone().unbind(),
                            None,
                        );
                        Handle::failed(&Bound::new(py, handle)?, error)
                    }
                }
            }
        }
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Job {
        match self {
            Job::Step(task) => Job::Step(task.clone_ref(py)),
            Job::Wakeup { task, future } => {
                Job::Wakeup { task: task.clone_ref(py), future: future.clone_ref(py) }
            }
            Job::Callback { function, context, future } => Job::Callback {
                function: function.clone_ref(py),
                context: context.clone_ref(py),
                future: future.clone_ref(py),
            },
            Job::Handle(handle) => Job::Handle(handle.clone_ref(py)),
            Job::Readable(transport) => Job::Readable(transport.clone_ref(py)),
            Job::Writable(transport) => Job::Writable(transport.clone_ref(py)),
            Job::Connected { transport, made, waiter } => Job::Connected {
                transport: transport.clone_ref(py),
                made: made.clone_ref(py),
                waiter: waiter.as_ref().map(|waiter| waiter.clone_ref(py)),
            },
            Job::ConnectionLost { transport, error, context } => Job::ConnectionLost {
                transport: transport.clone_ref(py),
                error: error.as_ref().map(|error| error.clone_ref(py)),
                context: context.clone_ref(py),
            },
            Job::Accept(listener) => Job::Accept(listener.clone_ref(py)),
            Job::Pipe(end, direction) => Job::Pipe(end.clone_ref(py), *direction),
        }
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Job::Step(task) => visit.call(task),
            Job::Wakeup { task, future } => {
                visit.call(task)?;
                visit.call(future)
            }
            Job::Callback { function, context, future } => {
                visit.call(function)?;
                visit.call(context)?;
                visit.call(future)
            }
            Job::Handle(handle) => visit.call(handle),
            Job::Readable(transport) | Job::Writable(transport) => visit.call(transport),
            Job::Connected { transport, made, waiter } => {
                visit.call(transport)?;
                visit.call(made)?;
                visit.call(waiter)
            }
            Job::ConnectionLost { transport, error, context } => {
                visit.call(transport)?;
                visit.call(error)?;
                visit.call(context)
            }
            Job::Accept(listener) => visit.call(listener),
            Job::Pipe(end, _) => end.traverse(visit),
        }
    }

    /// The handle that stands for the job where a program looks into the queue.
    pub(crate) fn as_handle(&self, event_loop: &Bound<'_, Loop>) -> PyResult<Py<Handle>> {
        let py = event_loop.py();
        let (callback, args, context) = match self {
            Job::Handle(handle) => return Ok(handle.clone_ref(py)),
            Job::Step(task) => step::as_callback(task.bind(py), None)?,
            Job::Wakeup { task, future } => step::as_callback(task.bind(py), Some(future))?,
            Job::Callback { function, context, future } => (
                function.clone_ref(py),
                PyTuple::new(py, [future])?.unbind(),
                context.clone_ref(py),
            ),
            Job::Readable(transport) => bound_method(transport.bind(py), "_read_ready")?,
            Job::Writable(transport) => bound_method(transport.bind(py), "_write_ready")?,
            Job::Accept(listener) => bound_method(listener.bind(py), "_accept_ready")?,
            Job::Pipe(end, direction) => {
                bound_method(&end.as_any(py), PipeEnd::method(*direction))?
            }
            Job::Connected { transport, made, .. } => {
                (made.clone_ref(py), PyTuple::new(py, [transport])?.unbind(), copy_current(py)?)
            }
            Job::ConnectionLost { transport, error, context } => {
                let (callback, ..) = bound_method(transport.bind(py), "_call_connection_lost")?;
                (callback, PyTuple::new(py, [error])?.unbind(), context.clone_ref(py))
            }
        };
        Py::new(py, Handle::new(callback, args, context, event_loop.clone().unbind(), None))
    }
}

/// Reports what the native part of a job raised, as for a callback.
#[cold]
fn failed(
    event_loop: &Bound<'_, Loop>,
    object: &Bound<'_, PyAny>,
    method: &str,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    if asyncio::must_propagate(py, &error) {
        return Err(error);
    }
    let (callback, args, context) = bound_method(object, method)?;
    let handle = Handle::new(callback, args, context, event_loop.clone().unbind(), None);
    Handle::failed(&Bound::new(py, handle)?, error)
}

/// A method as a callable without arguments, and a context for it: how a native job looks to programs.
fn bound_method(
    object: &Bound<'_, PyAny>,
    name: &str,
) -> PyResult<(Py<PyAny>, Py<PyTuple>, Py<PyAny>)> {
    let py = object.py();
    Ok((object.getattr(name)?.unbind(), PyTuple::empty(py).unbind(), copy_current(py)?))
}

/// Reports `error`, which no task keeps, to the handler of `event_loop`.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` themselves, and what the handler raises.
pub(crate) fn report(event_loop: &Bound<'_, PyAny>, message: &str, error: PyErr) -> PyResult<()> {
    let py = event_loop.py();
    if asyncio::must_propagate(py, &error) {
        return Err(error);
    }
    let context = PyDict::new(py);
    context.set_item("message", message)?;
    context.set_item("exception", error.into_value(py))?;
    asyncio::call_exception_handler(event_loop, &context)
}
