//! Waiting for some of several tasks.
use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Result;
use crate::future::Future;
use crate::running;
use crate::task::{CallbackId, Task};
use crate::wait::WaitsFor;

/// When [`wait`] is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnWhen {
    /// When one has ended.
    FirstCompleted,
    /// When one has failed, or all have ended. A cancelled one has not failed.
    FirstException,
    /// When all have ended.
    AllCompleted,
}

/// What [`wait`] answers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Waited<T: 'static> {
    /// The tasks that have ended.
    pub done: Vec<Task<T>>,
    /// The others.
    pub pending: Vec<Task<T>>,
}

/// Waits for `tasks`, as long as `until` says and at most for `limit`. Cancels none of them, whatever happens.
///
/// # Errors
/// [`Cancelled`](crate::Cancelled); [`InvalidState::NoLoop`](crate::InvalidState::NoLoop).
#[track_caller]
pub fn wait<T: 'static>(
    tasks: &[Task<T>],
    until: ReturnWhen,
    limit: Option<Duration>,
) -> impl std::future::Future<Output = Result<Waited<T>>> + use<T> {
    let (at, tasks) = (Location::caller(), tasks.to_vec());
    async move {
        let over = |task: &Task<T>| match until {
            ReturnWhen::FirstCompleted => task.is_done(),
            ReturnWhen::FirstException => {
                task.is_done() && !task.is_cancelled() && task.completion().has_failed()
            }
            ReturnWhen::AllCompleted => false,
        };
        let left = tasks.iter().filter(|task| !task.is_done()).count();
        if left > 0 && !tasks.iter().any(over) {
            Watching::start(&tasks, until, left)?.wait(limit, at).await?;
        }
        let (done, pending) = tasks.into_iter().partition(Task::is_done);
        Ok(Waited { done, pending })
    }
}

/// The callbacks of one wait, taken back when it ends.
struct Watching<T: 'static> {
    callbacks: Vec<(Task<T>, CallbackId)>,
    waiter: Future<()>,
}

impl<T: 'static> Watching<T> {
    fn start(tasks: &[Task<T>], until: ReturnWhen, left: usize) -> Result<Self> {
        let waiter = Future::for_wait(running::core()?, WaitsFor::Tasks(left));
        let left = Rc::new(Cell::new(left));
        let mut callbacks = Vec::new();
        for task in tasks.iter().filter(|task| !task.is_done()) {
            let (left, waiter) = (Rc::clone(&left), waiter.clone());
            let id = task.add_done_callback(move |task| {
                left.set(left.get() - 1);
                let over = match until {
                    ReturnWhen::FirstCompleted => true,
                    ReturnWhen::FirstException => {
                        !task.is_cancelled() && task.completion().has_failed()
                    }
                    ReturnWhen::AllCompleted => false,
                };
                if (over || left.get() == 0) && !waiter.is_done() {
                    let _ = waiter.set_result(());
                }
            });
            callbacks.push((task.clone(), id));
        }
        Ok(Watching { callbacks, waiter })
    }

    async fn wait(self, limit: Option<Duration>, at: &'static Location<'static>) -> Result<()> {
        let core = running::core()?;
        let timer = limit.map(|limit| {
            let waiter = self.waiter.clone();
            core.call_at(core.clock.now().after(limit), move || {
                if !waiter.is_done() {
                    let _ = waiter.set_result(());
                }
            })
        });
        let result = self.waiter.join(at).await;
        if let Some(timer) = timer {
            core.cancel_call(&timer);
        }
        result
    }
}

impl<T: 'static> Drop for Watching<T> {
    fn drop(&mut self) {
        for (task, id) in &self.callbacks {
            task.remove_done_callback(*id);
        }
    }
}
