//! Limits of time.
use std::cell::Cell;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use boros_reactor::Time;

use crate::call::Callable;
use crate::core::Core;
use crate::error::{Error, InvalidState, Result, TimedOut};
use crate::running;
use crate::task_object::{self, TaskObject};

/// Runs `future`, in this task, for at most `limit`, counted from the first poll. When the time is over, the task is cancelled where it waits; when the
/// future has cleaned up and passed that on, it becomes [`TimedOut`].
///
/// As in asyncio, a future that refuses to be cancelled decides the result; and a task that is cancelled by somebody else at
/// the same time stays cancelled. What waits for futures of other crates is dropped.
///
/// # Errors
/// [`TimedOut`]; the future's own; [`InvalidState::NoTask`].
#[track_caller]
pub fn timeout<T, E: Into<Error>, F: IntoFuture<Output = Result<T, E>>>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<T>> {
    let future = future.into_future();
    async move {
        let core = running::core()?;
        let when = core.clock.now().after(limit);
        run(core, when, future).await
    }
}

/// As [`timeout`], with a point in time.
///
/// # Errors
/// As there.
#[track_caller]
pub fn timeout_at<T, E: Into<Error>, F: IntoFuture<Output = Result<T, E>>>(
    when: Time,
    future: F,
) -> impl Future<Output = Result<T>> {
    let future = future.into_future();
    async move { run(running::core()?, when, future).await }
}

async fn run<T, E: Into<Error>>(
    core: Rc<Core>,
    when: Time,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    let limit = Limit::start(core, when)?;
    let mut future = pin!(future);
    let result = poll_fn(|cx| limit.poll(future.as_mut(), cx)).await;
    limit.end(result)
}

/// The time limit of a task, from when it is set to when what it is for has ended.
struct Limit {
    core: Rc<Core>,
    task: Rc<dyn TaskObject>,
    /// Requests to end that were there before.
    cancelling: u32,
    call: Rc<dyn Callable>,
    expired: Rc<Cell<bool>>,
    /// The request of this limit still has to be taken back.
    owes: Cell<bool>,
}

impl Limit {
    fn start(core: Rc<Core>, when: Time) -> Result<Self> {
        let task = running::task().ok_or(InvalidState::NoTask)?;
        let expired = Rc::new(Cell::new(false));
        let (flag, whom) = (Rc::clone(&expired), Rc::clone(&task));
        let call = core.call_at(when, move || {
            flag.set(true);
            task_object::cancel(&whom, None);
        });
        let cancelling = task.header().cancelling.get();
        Ok(Limit { core, task, cancelling, call, expired, owes: Cell::new(true) })
    }

    fn poll<T, E: Into<Error>>(
        &self,
        future: Pin<&mut impl Future<Output = Result<T, E>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        let header = self.task.header();
        let asked = self.expired.get() && header.must_cancel();
        if let Poll::Ready(result) = future.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        // Nothing in it took up the request: it waits for futures of other crates only.
        if asked && let Some(cancelled) = header.take_cancel() {
            return Poll::Ready(Err(cancelled.into()));
        }
        Poll::Pending
    }

    fn end<T>(self, result: Result<T>) -> Result<T> {
        self.owes.set(false);
        self.core.cancel_call(&self.call);
        if !self.expired.get() {
            return result;
        }
        let left = self.task.header().uncancel();
        match result {
            Err(error) if error.is_cancelled() && left <= self.cancelling => Err(TimedOut.into()),
            other => other,
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // Dropped half-way, when nobody hears of the end.
        if self.owes.get() {
            self.core.cancel_call(&self.call);
            if self.expired.get() {
                self.task.header().uncancel();
            }
        }
    }
}
