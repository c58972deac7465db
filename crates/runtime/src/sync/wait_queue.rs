//! A line of waiting tasks.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::Location;

use crate::cancelled::Cancelled;
use crate::future::Future;
use crate::running;
use crate::wait::WaitsFor;

/// Those who wait, in order. One that was woken stands in the line until it runs, so that nobody gets ahead of it.
#[derive(Default)]
pub(crate) struct WaitQueue {
    waiters: RefCell<VecDeque<Future<()>>>,
}

/// A place in the line, left when it is dropped.
pub(crate) struct Place<'a> {
    queue: &'a WaitQueue,
    future: Future<()>,
}

impl WaitQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.borrow().is_empty()
    }

    /// Whether somebody waits who has not been woken.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.waiters.borrow().iter().any(|waiter| !waiter.is_done())
    }

    /// Stands in line.
    pub(crate) fn enter(&self, reason: WaitsFor) -> Result<Place<'_>, Cancelled> {
        let core = running::core().map_err(|error| {
            // There is nobody who could ever be woken.
            Cancelled::new(Some(error.to_string().into()))
        })?;
        let future = Future::for_wait(core, reason);
        self.waiters.borrow_mut().push_back(future.clone());
        Ok(Place { queue: self, future })
    }

    /// Wakes the first who has not been woken; false if there is none.
    pub(crate) fn wake_one(&self) -> bool {
        let first = self.waiters.borrow().iter().find(|waiter| !waiter.is_done()).cloned();
        first.is_some_and(|waiter| waiter.set_result(()).is_ok())
    }

    pub(crate) fn wake_all(&self) {
        while self.wake_one() {}
    }
}

impl Place<'_> {
    /// Waits to be woken.
    pub(crate) async fn wait(&self, at: &'static Location<'static>) -> Result<(), Cancelled> {
        self.future
            .join(at)
            .await
            .map_err(|error| error.downcast_ref::<Cancelled>().cloned().unwrap_or_default())
    }

    /// Whether it was this one's turn, also if it has not noticed.
    pub(crate) fn was_woken(&self) -> bool {
        self.future.is_done() && !self.future.is_cancelled()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiters = self.queue.waiters.borrow_mut();
        let index = waiters.iter().position(|other| other.is_same(&self.future));
        let left = index.and_then(|index| waiters.remove(index));
        drop(waiters);
        drop(left);
    }
}
