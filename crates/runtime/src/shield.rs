//! Protection of a task from the cancellation of those who wait for it.
use std::future::Future as StdFuture;
use std::panic::Location;

use crate::error::{InvalidState, Result};
use crate::future::Future;
use crate::into_task::IntoTask;
use crate::running;
use crate::task::Task;

/// Waits for a task, or a future that becomes one, without passing a cancellation on to it: the wait ends with
/// [`Cancelled`](crate::Cancelled), the task goes on.
///
/// # Errors
/// The task's; `Cancelled`; [`InvalidState::NoLoop`].
#[track_caller]
pub fn shield<T: 'static>(item: impl IntoTask<T>) -> impl StdFuture<Output = Result<T>> {
    let at = Location::caller();
    let outer = item.into_task().and_then(protect);
    async move { outer?.join(at).await }
}

fn protect<T: 'static>(task: Task<T>) -> Result<Future<T>, InvalidState> {
    let outer = Future::new(running::core()?);
    let told = outer.clone();
    task.add_done_callback(move |task| {
        if !told.is_done() {
            let _ = told.finish(task.take_result());
        }
    });
    Ok(outer)
}
