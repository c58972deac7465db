//! What a program does with a loop from inside of it.
use std::fmt;
use std::future::Future as StdFuture;
use std::io;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use boros_coro::{AsyncGeneratorHooks, Orphan};
use boros_reactor::{Direction, Time};

use crate::call::{CallCell, Handle, TimerHandle};
use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::executor::{Executor, InExecutor};
use crate::future::Future;
use crate::job::{Job, Target};
use crate::remote_handle::RemoteHandle;
use crate::report::ErrorReport;
use crate::running;
use crate::shield::shield;
use crate::task::{self, Task};
use crate::task_info::TaskInfo;
use crate::task_object;
use crate::wait::Wait;
use crate::watch::Watch;

/// An event loop, as its tasks and callbacks see it. Clones are the same loop. It stays in the loop's thread; other threads
/// have a [`RemoteHandle`].
///
/// ```compile_fail
/// let event_loop = boros::EventLoop::new().unwrap();
/// let handle = event_loop.handle();
/// std::thread::spawn(move || handle.stop());
/// ```
#[derive(Clone)]
pub struct LoopHandle {
    pub(crate) core: Rc<Core>,
}

/// The loop that runs in this thread.
///
/// # Errors
/// [`InvalidState::NoLoop`].
pub fn running_loop() -> Result<LoopHandle, InvalidState> {
    running::core().map(|core| LoopHandle { core })
}

/// Makes a task of `future` on the loop that runs in this thread. It is stepped in the next turn.
///
/// # Errors
/// [`InvalidState::NoLoop`], [`InvalidState::Closed`].
#[track_caller]
pub fn create_task<T: 'static>(
    future: impl StdFuture<Output = Result<T>> + 'static,
) -> Result<Task<T>, InvalidState> {
    task::spawn(&running::core()?, future, Location::caller())
}

/// What is to be seen of the task that runs.
///
/// # Errors
/// [`InvalidState::NoTask`].
pub fn current_task() -> Result<TaskInfo, InvalidState> {
    running::task().map(|task| TaskInfo::of(&*task)).ok_or(InvalidState::NoTask)
}

/// Asks the task that runs to end, at its next wait.
///
/// # Errors
/// [`InvalidState::NoTask`].
pub fn cancel_current() -> Result<(), InvalidState> {
    let task = running::task().ok_or(InvalidState::NoTask)?;
    task_object::cancel(&task, None);
    Ok(())
}

/// Takes back one request to end of the task that runs, for one that dealt with it without passing it on. Answers how many are
/// left.
///
/// # Errors
/// [`InvalidState::NoTask`].
pub fn uncancel_current() -> Result<u32, InvalidState> {
    running::task().map(|task| task.header().uncancel()).ok_or(InvalidState::NoTask)
}

impl LoopHandle {
    /// The loop's time. Only differences mean something.
    pub fn time(&self) -> Time {
        self.core.clock.now()
    }

    /// Asks the loop to return from `run_forever` after the turn that runs.
    pub fn stop(&self) {
        self.core.engine.borrow_mut().stop();
    }

    /// Whether the loop runs.
    pub fn is_running(&self) -> bool {
        self.core.running.get()
    }

    /// Whether the loop was closed.
    pub fn is_closed(&self) -> bool {
        self.core.closed.get()
    }

    /// A future whose result somebody will set.
    pub fn create_future<T: 'static>(&self) -> Future<T> {
        Future::new(Rc::clone(&self.core))
    }

    /// Makes a task of `future`. It is stepped in the next turn.
    ///
    /// # Errors
    /// [`InvalidState::Closed`].
    #[track_caller]
    pub fn create_task<T: 'static>(
        &self,
        future: impl StdFuture<Output = Result<T>> + 'static,
    ) -> Result<Task<T>, InvalidState> {
        task::spawn(&self.core, future, Location::caller())
    }

    /// Calls `function` in the next turn. Functions are called in the order in which they were asked for; on a closed loop, not
    /// at all.
    pub fn call_soon(&self, function: impl FnOnce() + 'static) -> Handle {
        let call = CallCell::new(function);
        if !self.core.closed.get() {
            self.core.push(Job::Call(Rc::clone(&call)));
        }
        Handle(call)
    }

    /// Calls `function` when `delay` has passed.
    pub fn call_later(&self, delay: Duration, function: impl FnOnce() + 'static) -> TimerHandle {
        self.call_at(self.time().after(delay), function)
    }

    /// Calls `function` when the loop's clock shows `when`; on a closed loop, not at all.
    pub fn call_at(&self, when: Time, function: impl FnOnce() + 'static) -> TimerHandle {
        let core = Rc::clone(&self.core);
        let call =
            if core.closed.get() { CallCell::new(function) } else { core.call_at(when, function) };
        TimerHandle { core, call, when }
    }

    /// The handle for other threads.
    pub fn remote(&self) -> RemoteHandle {
        RemoteHandle {
            inbox: Arc::clone(&self.core.inbox),
            closed: Arc::clone(&self.core.closed_for_others),
        }
    }

    /// Runs `function` in another thread, so that it may block. At most 32 run at once, or four more than there are processors
    /// if that is less; others queue.
    #[track_caller]
    pub fn run_in_executor<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> InExecutor<T> {
        Executor::run(&self.core, function, Location::caller())
    }

    /// Waits until the functions in other threads have ended.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn shutdown_default_executor(&self) -> impl StdFuture<Output = Result<()>> + use<> {
        let (core, at, mut wait) = (Rc::clone(&self.core), Location::caller(), Wait::new());
        std::future::poll_fn(move |cx| core.executor.poll_idle(cx, &mut wait, at))
    }

    /// Calls `function` whenever `fd` can be read, in place of what was asked for before. The caller keeps `fd` open, and
    /// calls [`remove_reader`](LoopHandle::remove_reader) before closing it.
    ///
    /// # Errors
    /// The system's: `EBADF`, or `EPERM` for what is always ready, such as a file.
    pub fn add_reader(&self, fd: RawFd, function: impl FnMut() + 'static) -> io::Result<()> {
        self.add(fd, Direction::Read, Box::new(function))
    }

    /// Calls `function` whenever `fd` can be written; see [`add_reader`](LoopHandle::add_reader).
    ///
    /// # Errors
    /// As there.
    pub fn add_writer(&self, fd: RawFd, function: impl FnMut() + 'static) -> io::Result<()> {
        self.add(fd, Direction::Write, Box::new(function))
    }

    /// Ends what [`add_reader`](LoopHandle::add_reader) began; false if there was nothing.
    pub fn remove_reader(&self, fd: RawFd) -> bool {
        self.remove(fd, Direction::Read)
    }

    /// Ends what [`add_writer`](LoopHandle::add_writer) began; false if there was nothing.
    pub fn remove_writer(&self, fd: RawFd) -> bool {
        self.remove(fd, Direction::Write)
    }

    fn add(&self, fd: RawFd, direction: Direction, function: Box<dyn FnMut()>) -> io::Result<()> {
        if self.core.closed.get() {
            return Err(io::Error::other(InvalidState::Closed));
        }
        let watch = Rc::new(Watch::new(function));
        let result = self.core.engine.borrow_mut().watch(fd, direction, Target::Watch(watch));
        match result {
            Ok(before) => {
                if let Some(Target::Watch(watch)) = before {
                    watch.remove();
                }
                Ok(())
            }
            Err((error, _)) => Err(error),
        }
    }

    fn remove(&self, fd: RawFd, direction: Direction) -> bool {
        let is_watch =
            matches!(self.core.engine.borrow().watcher(fd, direction), Some(Target::Watch(_)));
        if !is_watch {
            return false;
        }
        let before = self.core.engine.borrow_mut().unwatch(fd, direction);
        if let Some(Target::Watch(watch)) = before {
            watch.remove();
        }
        true
    }

    /// Calls `function`, in the loop, whenever the process gets `signal` (a number such as `libc::SIGINT`), in place of what
    /// happened before.
    ///
    /// # Errors
    /// `InvalidInput` for signals that cannot be handled; the system's.
    pub fn add_signal_handler(
        &self,
        signal: i32,
        function: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if self.core.closed.get() {
            return Err(io::Error::other(InvalidState::Closed));
        }
        self.core.add_signal_handler(signal, function)
    }

    /// Ends what [`add_signal_handler`](LoopHandle::add_signal_handler) began; false if there was nothing. The signal is
    /// ignored from then on.
    pub fn remove_signal_handler(&self, signal: i32) -> bool {
        self.core.remove_signal_handler(signal)
    }

    /// Has `handler` told of errors that nobody waits for, in place of the standard error stream. Answers whether there was
    /// another one.
    pub fn set_exception_handler(&self, handler: impl Fn(&ErrorReport) + 'static) -> bool {
        self.core.set_handler(Some(Rc::new(handler))).is_some()
    }

    /// Has errors that nobody waits for written to the standard error stream again.
    pub fn reset_exception_handler(&self) {
        self.core.set_handler(None);
    }

    /// All tasks that have not ended, in the order of their creation.
    pub fn all_tasks(&self) -> Vec<TaskInfo> {
        let tasks = self.core.tasks.borrow().all();
        tasks.iter().map(|task| TaskInfo::of(&**task)).collect()
    }

    /// Asks all tasks but the one that runs to end. Answers how many were asked.
    pub fn cancel_all(&self) -> usize {
        let current = running::task();
        let tasks = self.core.tasks.borrow().all();
        let others = tasks
            .iter()
            .filter(|task| !current.as_ref().is_some_and(|current| Rc::ptr_eq(current, task)));
        others.filter(|task| task_object::cancel(task, None)).count()
    }

    /// What an async generator needs to be ended by this loop if it is dropped half-way:
    /// [`BoxAsyncGenerator::with_hooks`](boros_coro::BoxAsyncGenerator::with_hooks).
    pub fn asyncgen_hooks(&self) -> Rc<dyn AsyncGeneratorHooks> {
        Rc::new(Hooks(self.clone()))
    }

    /// Waits until all async generators that were dropped half-way have ended.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    pub async fn shutdown_asyncgens(&self) -> Result<()> {
        while let Some(orphan) = { self.core.orphans.borrow_mut().pop() } {
            // Its errors have been reported.
            shield(orphan).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Ends dropped async generators by tasks of the loop.
struct Hooks(LoopHandle);

impl AsyncGeneratorHooks for Hooks {
    fn finalize(&self, orphan: Orphan) {
        let core = Rc::clone(&self.0.core);
        let name = orphan.name();
        let task = async move {
            if let Err(error) = orphan.await {
                let message = format!("an async generator did not end well: {name}");
                core.report(&ErrorReport::new(&message, Some(Error::msg(error))));
            }
            Ok(())
        };
        // A closed loop runs nothing any more: the body is dropped where it waits.
        if let Ok(task) = self.0.create_task(task) {
            let mut orphans = self.0.core.orphans.borrow_mut();
            orphans.retain(|task| !task.is_done());
            orphans.push(task);
        }
    }
}
