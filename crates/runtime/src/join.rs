//! The wait for the end of a task or future.
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::completion::{Completes, Completion, Waiter};
use crate::error::{InvalidState, Result};
use crate::running;
use crate::wait::{Cancel, Wait};

/// Waits until a task or future is done and answers with its result. A task that is cancelled while it waits here cancels what
/// it waits for; see [`shield`](crate::shield).
#[must_use = "futures do nothing unless awaited"]
pub struct Join<T: 'static> {
    of: Rc<dyn Completes<T>>,
    take: fn(&Completion<T>) -> Option<Result<T>>,
    wait: Wait,
    key: Option<u64>,
    at: &'static Location<'static>,
}

impl<T: 'static> Join<T> {
    pub(crate) fn new(
        of: Rc<dyn Completes<T>>,
        take: fn(&Completion<T>) -> Option<Result<T>>,
        at: &'static Location<'static>,
    ) -> Self {
        Join { of, take, wait: Wait::new(), key: None, at }
    }

    fn end(&mut self) {
        self.wait.end();
        if let Some(key) = self.key.take() {
            self.of.completion().forget(key);
        }
    }

    fn awaits_itself(&self) -> bool {
        let awaited = Rc::as_ptr(&self.of).cast::<()>();
        running::task().is_some_and(|task| Rc::as_ptr(&task).cast::<()>() == awaited)
    }
}

impl<T: 'static> Future for Join<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        if let Some(cancelled) = this.wait.interrupted() {
            this.end();
            return Poll::Ready(Err(cancelled.into()));
        }
        if let Some(result) = (this.take)(this.of.completion()) {
            this.end();
            return Poll::Ready(result);
        }
        if this.key.is_none() && this.awaits_itself() {
            return Poll::Ready(Err(InvalidState::AwaitsItself.into()));
        }
        let of = &this.of;
        let target = || Some(Rc::clone(of) as Rc<dyn Cancel>);
        match this.wait.suspend(cx, this.at, || of.reason(), target) {
            Err(cancelled) => {
                this.end();
                Poll::Ready(Err(cancelled.into()))
            }
            Ok(wake) => {
                let completion = this.of.completion();
                match this.key {
                    Some(key) => completion.retell(key, Waiter::Wake(wake)),
                    None => this.key = Some(completion.tell(this.of.core(), Waiter::Wake(wake))),
                }
                Poll::Pending
            }
        }
    }
}

impl<T: 'static> Drop for Join<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: 'static> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("of", &self.of.reason()).finish_non_exhaustive()
    }
}
