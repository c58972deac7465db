//! A number of permits.
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::cancelled::Cancelled;
use crate::sync::wait_queue::{Place, WaitQueue};
use crate::wait::WaitsFor;

/// Lets at most so many tasks at once do something. Tasks get permits in the order in which they asked.
pub struct Semaphore {
    /// Permits that nobody has, less those promised to tasks that were woken.
    free: Cell<usize>,
    waiters: WaitQueue,
}

/// The right to do what a [`Semaphore`] limits; given back when it is dropped.
#[must_use = "the permit is given back as soon as this is dropped"]
pub struct Permit<'a>(&'a Semaphore);

impl Semaphore {
    /// With `permits`.
    pub fn new(permits: usize) -> Self {
        Semaphore { free: Cell::new(permits), waiters: WaitQueue::default() }
    }

    /// Whether one who asks now has to wait.
    pub fn is_locked(&self) -> bool {
        self.free.get() == 0 || self.waiters.has_sleepers()
    }

    /// Permits that nobody has.
    pub fn available(&self) -> usize {
        self.free.get()
    }

    /// Takes a permit if nobody has to wait for one.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        if self.is_locked() {
            return None;
        }
        self.free.set(self.free.get() - 1);
        Some(Permit(self))
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Cancelled`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Permit<'_>, Cancelled>> {
        let at = Location::caller();
        async move {
            if let Some(permit) = self.try_acquire() {
                return Ok(permit);
            }
            let place = self.waiters.enter(WaitsFor::Semaphore)?;
            let mut turn = Turn { semaphore: self, place, used: false };
            turn.place.wait(at).await?;
            turn.used = true;
            Ok(Permit(self))
        }
    }

    /// Adds a permit: one more than there were, unless one was [forgotten](Permit::forget).
    pub fn release(&self) {
        self.free.set(self.free.get() + 1);
        self.promise();
    }

    /// Promises free permits to those who wait.
    fn promise(&self) {
        while self.free.get() > 0 && self.waiters.wake_one() {
            self.free.set(self.free.get() - 1);
        }
    }
}

/// A place in the line that gives back the permit it was promised, if it does not use it.
struct Turn<'a> {
    semaphore: &'a Semaphore,
    place: Place<'a>,
    used: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.place.was_woken() && !self.used {
            self.semaphore.release();
        }
    }
}

impl Permit<'_> {
    /// Keeps the permit for good, until somebody calls [`Semaphore::release`].
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
