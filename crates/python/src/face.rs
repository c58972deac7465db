//! The engine's face towards Python: how a loop waits, and how it runs a job.
use std::io;
use std::time::Duration;

use boros::reactor::{Clock, Events, Poller};
use boros::{Engine, Face};
use pyo3::prelude::*;
use pyo3::{ffi, intern};

use crate::errors::io_error;
use crate::event_loop::Loop;
use crate::handle::{self, Handle};
use crate::job::{Job, PyKinds};
use crate::parking;

/// A loop that is running, in the thread that holds the GIL.
pub(crate) struct PyFace<'a, 'py> {
    event_loop: &'a Bound<'py, Loop>,
}

impl<'a, 'py> PyFace<'a, 'py> {
    pub(crate) fn new(event_loop: &'a Bound<'py, Loop>) -> Self {
        PyFace { event_loop }
    }

    fn py(&self) -> Python<'py> {
        self.event_loop.py()
    }

    /// Runs a job in debug mode: with an eye on the clock.
    #[cold]
    fn run_watched(&self, job: Job) -> PyResult<()> {
        let py = self.py();
        let handle = job.as_handle(self.event_loop)?;
        let event_loop = self.event_loop.get();
        event_loop.set_current_handle(py, Some(handle.clone_ref(py)));
        let clock = Clock::monotonic();
        let start = clock.now();
        let result = job.run(py, self.event_loop);
        let secs = clock.now().since(start).as_secs_f64();
        event_loop.set_current_handle(py, None);
        if secs >= event_loop.slow_callback_secs() {
            log_slow(handle.bind(py), secs)?;
        }
        result
    }
}

fn log_slow(handle: &Bound<'_, Handle>, secs: f64) -> PyResult<()> {
    let py = handle.py();
    let logger = py.import("asyncio.base_events")?.getattr("logger")?;
    let what = handle::describe_for_log(handle)?;
    logger.call_method1(intern!(py, "warning"), ("Executing %s took %.3f seconds", what, secs))?;
    Ok(())
}

impl Face for PyFace<'_, '_> {
    type Kinds = PyKinds;
    type Error = PyErr;

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Engine<PyKinds>) -> R) -> R {
        // SAFETY: lent to the engine's own methods only, by `turn` and here. They move jobs, timers and targets
        // about and copy references, which runs no Python code; what has to go is handed out to be dropped.
        match unsafe { self.event_loop.get().engine_leaf(self.py(), f) } {
            Some(result) => result,
            // A running loop refuses to be closed, and a closed one to run.
            None => unreachable!("the loop was closed while it ran"),
        }
    }

    fn wait(
        &self,
        poller: &Poller,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            // Returns at once: giving the GIL away and taking it back would cost more than the call.
            return poller.wait(events, timeout);
        }
        // Other threads see no current task while nothing runs.
        if let Err(error) = Loop::clear_left_task(self.event_loop) {
            error.write_unraisable(self.py(), Some(self.event_loop.as_any()));
        }
        // The task may have gone with that, and what it held may have called the loop.
        let timeout = self.with(|engine| engine.timeout());
        self.event_loop.get().set_at_rest(true);
        let result = self.py().detach(|| poller.wait(events, timeout));
        parking::park_at_end(self.event_loop);
        self.event_loop.get().set_at_rest(false);
        result
    }

    #[inline]
    fn interrupted(&self) -> PyResult<()> {
        // SAFETY: the GIL is held.
        if unsafe { ffi::PyErr_CheckSignals() } < 0 {
            return Err(PyErr::fetch(self.py()));
        }
        Loop::set_clock(self.event_loop)
    }

    fn failed(&self, error: io::Error) -> PyErr {
        io_error(self.py(), &error)
    }

    #[inline]
    fn run(&self, job: Job) -> PyResult<()> {
        let event_loop = self.event_loop.get();
        event_loop.streams().enter_job();
        let result = if event_loop.is_debug() {
            self.run_watched(job)
        } else {
            job.run(self.py(), self.event_loop)
        };
        if event_loop.streams().leave_job() {
            let flushed = event_loop.streams().flush(self.py());
            return result.and(flushed);
        }
        result
    }
}
