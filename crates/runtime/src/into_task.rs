//! What can be made a task: a future, or a task as it is.
use std::future::Future;
use std::panic::Location;

use crate::error::{InvalidState, Result};
use crate::running;
use crate::task::{self, Task};

/// A task, or a future to make one of on the loop that runs: asyncio's `ensure_future`.
pub trait IntoTask<T: 'static> {
    /// The task.
    ///
    /// # Errors
    /// [`InvalidState::NoLoop`], [`InvalidState::Closed`].
    #[track_caller]
    fn into_task(self) -> Result<Task<T>, InvalidState>;
}

impl<T: 'static> IntoTask<T> for Task<T> {
    fn into_task(self) -> Result<Task<T>, InvalidState> {
        Ok(self)
    }
}

impl<T: 'static> IntoTask<T> for &Task<T> {
    fn into_task(self) -> Result<Task<T>, InvalidState> {
        Ok(self.clone())
    }
}

impl<T: 'static, F: Future<Output = Result<T>> + 'static> IntoTask<T> for F {
    #[track_caller]
    fn into_task(self) -> Result<Task<T>, InvalidState> {
        task::spawn(&running::core()?, self, Location::caller())
    }
}
