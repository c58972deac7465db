//! Something that has happened, or not yet.
use std::cell::Cell;
use std::future::Future;
use std::panic::Location;

use crate::cancelled::Cancelled;
use crate::sync::wait_queue::WaitQueue;
use crate::wait::WaitsFor;

/// A flag that tasks wait for.
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue,
}

impl Event {
    /// One that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Sets it, and wakes all who wait.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.wake_all();
    }

    /// Takes it back. Who was woken before does not wait again.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Waits until it is set.
    ///
    /// # Errors
    /// [`Cancelled`].
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<(), Cancelled>> + '_ {
        let at = Location::caller();
        async move {
            if self.set.get() {
                return Ok(());
            }
            self.waiters.enter(WaitsFor::Event)?.wait(at).await
        }
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish()
    }
}
