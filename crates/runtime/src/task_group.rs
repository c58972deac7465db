//! Tasks that end together.
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future as StdFuture;
use std::panic::Location;
use std::rc::Rc;

use crate::error::{Error, InvalidState, Result};
use crate::future::Future;
use crate::report::ErrorReport;
use crate::running;
use crate::task::{self, Task};
use crate::task_object::{self, TaskObject};
use crate::wait::WaitsFor;

/// A group of tasks, for the body of [`task_group`], which is over when all of them have ended. Clones are the same group.
#[derive(Clone)]
pub struct TaskGroup {
    inner: Rc<Inner>,
}

struct Inner {
    parent: Rc<dyn TaskObject>,
    parent_cancelled: Cell<bool>,
    tasks: RefCell<Vec<Rc<dyn TaskObject>>>,
    errors: RefCell<Vec<Error>>,
    all_done: RefCell<Option<Future<()>>>,
    aborting: Cell<bool>,
    exiting: Cell<bool>,
}

/// Runs `body` with a group to create tasks in, and waits for all of these: structured concurrency as asyncio's `TaskGroup`
/// has it.
///
/// When a task or the body fails, everything else in the group is cancelled, and when all has ended, the answer is a
/// [`GroupError`] of all that failed. A task that is cancelled does not count as failed.
///
/// ```
/// use boros::{Result, sleep, task_group};
/// use std::time::Duration;
///
/// let sum = boros::run(async {
///     task_group(async |group| {
///         let one = group.create_task(async {
///             sleep(Duration::from_millis(1)).await?;
///             Ok(1)
///         })?;
///         let two = group.create_task(async { Ok(2) })?;
///         Ok(one.await? + two.await?)
///     })
///     .await
/// })?;
/// assert_eq!(sum, 3);
/// # Result::<()>::Ok(())
/// ```
///
/// # Errors
/// [`GroupError`]; [`Cancelled`](crate::Cancelled); [`InvalidState::NoTask`].
#[track_caller]
pub fn task_group<R>(
    body: impl AsyncFnOnce(TaskGroup) -> Result<R>,
) -> impl StdFuture<Output = Result<R>> {
    let at = Location::caller();
    async move {
        let inner = Rc::new(Inner {
            parent: running::task().ok_or(InvalidState::NoTask)?,
            parent_cancelled: Cell::new(false),
            tasks: RefCell::new(Vec::new()),
            errors: RefCell::new(Vec::new()),
            all_done: RefCell::new(None),
            aborting: Cell::new(false),
            exiting: Cell::new(false),
        });
        // If all of this is dropped, nobody waits for the tasks any more.
        let _guard = AbortOnDrop(&inner);
        let result = body(TaskGroup { inner: Rc::clone(&inner) }).await;
        inner.exit(result, at).await
    }
}

struct AbortOnDrop<'a>(&'a Rc<Inner>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl TaskGroup {
    /// Makes a task of `future`, in this group.
    ///
    /// # Errors
    /// [`InvalidState::GroupInactive`] when the group is ending or has ended.
    #[track_caller]
    pub fn create_task<T: 'static>(
        &self,
        future: impl StdFuture<Output = Result<T>> + 'static,
    ) -> Result<Task<T>, InvalidState> {
        let inner = &self.inner;
        let over = inner.exiting.get() && inner.tasks.borrow().is_empty();
        if over || inner.aborting.get() {
            return Err(InvalidState::GroupInactive);
        }
        let task = task::spawn(&inner.parent.header().core, future, Location::caller())?;
        inner.tasks.borrow_mut().push(task.object());
        let group = Rc::clone(inner);
        task.add_done_callback(move |task| group.one_done(&task.object(), || task.exception()));
        Ok(task)
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("tasks", &self.inner.tasks.borrow().len())
            .field("errors", &self.inner.errors.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn abort(&self) {
        self.aborting.set(true);
        let tasks = self.tasks.borrow().clone();
        for task in &tasks {
            task_object::cancel(task, None);
        }
    }

    fn one_done(&self, task: &Rc<dyn TaskObject>, exception: impl FnOnce() -> Option<Error>) {
        let empty = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.retain(|other| !Rc::ptr_eq(other, task));
            tasks.is_empty()
        };
        let waiter = if empty { self.all_done.borrow().clone() } else { None };
        if let Some(waiter) = waiter.filter(|waiter| !waiter.is_done()) {
            let _ = waiter.set_result(());
        }
        if task.is_cancelled() {
            return;
        }
        let Some(error) = exception() else { return };
        if self.parent.is_done() {
            let report = ErrorReport::new("a task of a group failed after the group", Some(error));
            self.parent.header().core.report(&report.of_task(&task.header().name()));
            return;
        }
        self.errors.borrow_mut().push(error);
        if !self.aborting.get() && !self.parent_cancelled.get() {
            self.abort();
            // The body may be waiting for something else: it ends as well.
            self.parent_cancelled.set(true);
            task_object::cancel(&self.parent, None);
        }
    }

    async fn exit<R>(&self, result: Result<R>, at: &'static Location<'static>) -> Result<R> {
        self.exiting.set(true);
        let header = self.parent.header();
        let (value, error) = match result {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        let mut cancellation = error.clone().filter(Error::is_cancelled);
        // The request was the group's own; that of somebody else remains.
        if self.parent_cancelled.get() && header.uncancel() == 0 {
            cancellation = None;
        }
        if error.is_some() && !self.aborting.get() {
            self.abort();
        }
        while !self.tasks.borrow().is_empty() {
            let waiter = Future::for_wait(
                Rc::clone(&header.core),
                WaitsFor::Tasks(self.tasks.borrow().len()),
            );
            *self.all_done.borrow_mut() = Some(waiter.clone());
            if let Err(error) = waiter.join(at).await
                && !self.aborting.get()
            {
                cancellation = Some(error);
                self.abort();
            }
            self.all_done.borrow_mut().take();
        }
        let failed = !self.errors.borrow().is_empty();
        if let Some(cancellation) = cancellation.filter(|_| !failed) {
            return Err(cancellation);
        }
        let mut errors = self.errors.take();
        match (value, error) {
            (Some(value), _) if errors.is_empty() => return Ok(value),
            // One that the body only passed on is told once.
            (None, Some(error))
                if !error.is_cancelled() && !errors.iter().any(|other| other.is_same(&error)) =>
            {
                errors.push(error);
            }
            // The body gave up because the group did, and nobody failed: it was cancelled all the same.
            (None, Some(error)) if errors.is_empty() => return Err(error),
            _ => {}
        }
        // Somebody else's request is renewed, so that it is raised at the next wait.
        if header.cancelling.get() > 0 {
            header.uncancel();
            task_object::cancel(&self.parent, None);
        }
        Err(GroupError { errors }.into())
    }
}

/// The errors of a [`task_group`], one or more.
#[derive(Debug, Clone)]
pub struct GroupError {
    errors: Vec<Error>,
}

impl GroupError {
    /// The errors, in the order in which the tasks ended; that of the body is the last.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        write!(f, "{count} {} failed: ", if count == 1 { "task" } else { "tasks" })?;
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for GroupError {}
