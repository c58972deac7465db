//! Several tasks, waited for together.
use std::cell::{Cell, RefCell};
use std::future::Future as StdFuture;
use std::panic::Location;
use std::rc::Rc;

use crate::cancelled::Cancelled;
use crate::error::{InvalidState, Result};
use crate::future::Future;
use crate::into_task::IntoTask;
use crate::running;
use crate::task::Task;
use crate::task_object;
use crate::wait::WaitsFor;

/// Runs all of `items`, futures or tasks, side by side, and answers with their values in the given order.
///
/// The first that fails or is cancelled decides: its error is the answer at once; the others go on. Cancelling the task that
/// waits here cancels all. The futures become tasks when this is called, not when it is awaited.
///
/// # Errors
/// The first error of one of them; [`InvalidState::NoLoop`].
#[track_caller]
pub fn gather<T: 'static, I: IntoTask<T>>(
    items: impl IntoIterator<Item = I>,
) -> impl StdFuture<Output = Result<Vec<T>>> {
    start(items, false, |tasks| tasks.iter().map(Task::take_result).collect())
}

/// As [`gather`], waiting for all of them and answering with the result of each: asyncio's `return_exceptions=True`.
///
/// # Errors
/// [`Cancelled`], when the task that waits here was cancelled; [`InvalidState::NoLoop`].
#[track_caller]
pub fn gather_settled<T: 'static, I: IntoTask<T>>(
    items: impl IntoIterator<Item = I>,
) -> impl StdFuture<Output = Result<Vec<Result<T>>>> {
    start(items, true, |tasks| Ok(tasks.iter().map(Task::take_result).collect()))
}

struct Gathering<T: 'static, O: 'static> {
    tasks: RefCell<Vec<Task<T>>>,
    left: Cell<usize>,
    /// Wait for all, whatever happens to some.
    settle: bool,
    cancelled: Cell<bool>,
    collect: fn(&[Task<T>]) -> Result<O>,
}

#[track_caller]
fn start<T: 'static, O: 'static, I: IntoTask<T>>(
    items: impl IntoIterator<Item = I>,
    settle: bool,
    collect: fn(&[Task<T>]) -> Result<O>,
) -> impl StdFuture<Output = Result<O>> {
    let at = Location::caller();
    let mut tasks = Vec::new();
    let mut failed = None;
    // No closure: it would hide the caller's place from the tasks.
    for item in items {
        match item.into_task() {
            Ok(task) => tasks.push(task),
            Err(error) => failed = Some(error),
        }
    }
    let outer = match failed {
        None => gathered(tasks, settle, collect),
        Some(error) => Err(error),
    };
    async move { outer?.join(at).await }
}

fn gathered<T: 'static, O: 'static>(
    tasks: Vec<Task<T>>,
    settle: bool,
    collect: fn(&[Task<T>]) -> Result<O>,
) -> Result<Future<O>, InvalidState> {
    let core = running::core()?;
    let left = Cell::new(tasks.len());
    let count = tasks.len();
    let cancelled = Cell::new(false);
    let all = Rc::new(Gathering { tasks: RefCell::new(tasks), left, settle, cancelled, collect });
    let asked = Rc::clone(&all);
    let outer = Future::with_cancel(core, WaitsFor::Tasks(count), move |message| {
        let tasks = asked.tasks.borrow().clone();
        let mut any = false;
        for task in &tasks {
            any |= task_object::cancel(&task.object(), message.clone());
        }
        if any {
            asked.cancelled.set(true);
        }
        any
    });
    if count == 0 {
        let _ = outer.finish(collect(&[]));
    }
    let tasks = all.tasks.borrow().clone();
    for task in tasks {
        let (all, outer) = (Rc::clone(&all), outer.clone());
        task.add_done_callback(move |task| all.one_done(task, &outer));
    }
    Ok(outer)
}

impl<T: 'static, O: 'static> Gathering<T, O> {
    fn one_done(&self, task: &Task<T>, outer: &Future<O>) {
        // Looked at: whoever gathers it has been told, or has gone.
        let error = task.exception();
        if outer.is_done() {
            return;
        }
        let result = match error {
            Some(error) if !self.settle => Err(error),
            _ => {
                self.left.set(self.left.get() - 1);
                if self.left.get() > 0 {
                    return;
                }
                let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
                if self.cancelled.get() {
                    Err(Cancelled::default().into())
                } else {
                    (self.collect)(&tasks)
                }
            }
        };
        // It was not done a moment ago, and nothing foreign has run since.
        let _ = outer.finish(result);
    }
}
