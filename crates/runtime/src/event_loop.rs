//! The event loop: its life from new to closed.
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use boros_reactor::{Clock, Time};

use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::loop_handle::LoopHandle;
use crate::report::ErrorReport;
use crate::running;
use crate::task;
use crate::turn::turn;

/// An event loop. What can be done with it while it runs is on its [`LoopHandle`], to which it dereferences.
///
/// It belongs to one thread. Dropping it closes it.
pub struct EventLoop {
    handle: LoopHandle,
}

impl EventLoop {
    /// A loop on the system's monotonic clock.
    ///
    /// # Errors
    /// The system's, for instance when the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Self::with_clock(Clock::monotonic())
    }

    /// A loop on a virtual clock, which stands still while something runs, and when all wait, goes on at once to the time when
    /// the first wait ends: `sleep`, timeouts and timers take no time, in the order in which they would happen. Functions in
    /// other threads, and what sockets wait for, take the time they take; while a function runs in another thread, the
    /// clock stands.
    ///
    /// # Errors
    /// As [`new`](EventLoop::new).
    pub fn virtual_time() -> io::Result<Self> {
        Self::with_clock(Clock::simulated(Time::default()))
    }

    /// A loop on a clock of the caller's.
    ///
    /// # Errors
    /// As [`new`](EventLoop::new).
    pub fn with_clock(clock: Clock) -> io::Result<Self> {
        Ok(EventLoop { handle: LoopHandle { core: Core::new(clock)? } })
    }

    /// The loop for those who are in it.
    pub fn handle(&self) -> LoopHandle {
        self.handle.clone()
    }

    /// Runs until [`stop`](LoopHandle::stop) is called.
    ///
    /// # Errors
    /// [`InvalidState`]: closed, running, or another loop runs in this thread. The poller's.
    pub fn run_forever(&self) -> Result<()> {
        let core = &self.handle.core;
        if core.closed.get() {
            return Err(InvalidState::Closed.into());
        }
        if core.running.get() {
            return Err(InvalidState::Running.into());
        }
        let _entered = running::enter(core)?;
        let _running = Flag::raise(&core.running);
        loop {
            turn(&**core)?;
            if core.engine.borrow_mut().take_stop() {
                return Ok(());
            }
        }
    }

    /// Runs until `future`, made a task, is done, and answers with its result.
    ///
    /// # Errors
    /// Those of the task, and of [`run_forever`](EventLoop::run_forever); [`InvalidState::Stopped`] if the loop was stopped
    /// before.
    #[track_caller]
    pub fn run_until_complete<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<T> {
        let task = task::spawn(&self.handle.core, future, Location::caller())?;
        let handle = self.handle();
        let id = task.add_done_callback(move |_| handle.stop());
        let run = self.run_forever();
        task.remove_done_callback(id);
        run?;
        if task.is_done() { task.take_result() } else { Err(InvalidState::Stopped.into()) }
    }

    /// Closes the loop: drops all tasks where they wait, and everything that is queued. A loop that runs is not closed.
    ///
    /// # Errors
    /// [`InvalidState::Running`].
    pub fn close(&self) -> Result<(), InvalidState> {
        let core = &self.handle.core;
        if core.running.get() {
            return Err(InvalidState::Running);
        }
        if core.closed.replace(true) {
            return Ok(());
        }
        core.closed_for_others.store(true, Ordering::SeqCst);
        core.executor.close();
        core.remove_signal_handlers();
        let tasks = core.tasks.borrow().all();
        for task in &tasks {
            task.abandon();
        }
        drop(tasks);
        let orphans = core.orphans.take();
        drop(orphans);
        // What the destructors queued goes the same way.
        let contents = core.engine.borrow_mut().clear();
        drop(contents);
        core.set_handler(None);
        Ok(())
    }
}

/// True from when it is raised to when it is dropped.
struct Flag<'a>(&'a Cell<bool>);

impl<'a> Flag<'a> {
    fn raise(flag: &'a Cell<bool>) -> Self {
        flag.set(true);
        Flag(flag)
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Deref for EventLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // It cannot be running: that borrows it.
        let _ = self.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// Runs `future` on a loop of its own and answers with its result. The tasks that are left then are cancelled and waited for,
/// so are dropped async generators and functions in other threads.
///
/// # Errors
/// Those of the future; [`InvalidState::OtherLoop`] when a loop runs in this thread; the system's.
#[track_caller]
pub fn run<T: 'static>(future: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    EventLoop::new()?.run_to_end(future)
}

/// As [`run`], on a [virtual clock](EventLoop::virtual_time).
///
/// # Errors
/// As there.
#[track_caller]
pub fn run_virtual<T: 'static>(future: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    EventLoop::virtual_time()?.run_to_end(future)
}

impl EventLoop {
    #[track_caller]
    fn run_to_end<T: 'static>(
        self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<T> {
        let result = self.run_until_complete(future);
        if result
            .as_ref()
            .is_err_and(|error| error.downcast_ref() == Some(&InvalidState::OtherLoop))
        {
            return result;
        }
        let handle = self.handle();
        self.run_until_complete(async move {
            // What is cancelled may refuse, or make new tasks: each round asks all that are there.
            while handle.cancel_all() > 0 {
                handle.wait_for_others().await?;
            }
            handle.shutdown_asyncgens().await?;
            handle.shutdown_default_executor().await
        })?;
        result
    }
}

impl LoopHandle {
    /// Waits until the tasks that there are now, but for the one that runs, have ended.
    async fn wait_for_others(&self) -> Result<()> {
        let current = running::task();
        let others: Vec<_> = self
            .core
            .tasks
            .borrow()
            .all()
            .into_iter()
            .filter(|task| !current.as_ref().is_some_and(|current| Rc::ptr_eq(current, task)))
            .collect();
        for task in others {
            let ended = self.create_future::<()>();
            let told = ended.clone();
            task.tell_end(Box::new(move || {
                // Unless nobody waits for it any more.
                let _ = told.set_result(());
            }));
            ended.await?;
        }
        Ok(())
    }

    /// Tells the exception handler of something.
    pub fn call_exception_handler(&self, message: &str, error: Option<Error>) {
        self.core.report(&ErrorReport::new(message, error));
    }
}
