//! Exclusive use of a value, across waits.
use std::cell::{RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::cancelled::Cancelled;
use crate::sync::wait_queue::{Place, WaitQueue};
use crate::wait::WaitsFor;

/// A value that one task at a time may use, also while it awaits something else. Tasks get it in the order in which they asked.
#[derive(Default)]
pub struct Lock<T = ()> {
    /// Borrowed as long as there is a guard.
    value: RefCell<T>,
    waiters: WaitQueue,
}

/// The use of a [`Lock`]'s value; ends when it is dropped.
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct LockGuard<'a, T> {
    // In this order: the value is given back before the next one is woken.
    value: RefMut<'a, T>,
    release: Release<'a, T>,
}

struct Release<'a, T>(&'a Lock<T>);

impl<T> Drop for Release<'_, T> {
    fn drop(&mut self) {
        self.0.waiters.wake_one();
    }
}

impl<T> Lock<T> {
    /// A free lock.
    pub fn new(value: T) -> Self {
        Lock { value: RefCell::new(value), waiters: WaitQueue::default() }
    }

    /// Whether some task has it.
    pub fn is_locked(&self) -> bool {
        self.value.try_borrow_mut().is_err()
    }

    /// Takes the lock if nobody has it and nobody waits for it.
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        if self.waiters.is_empty() { self.take() } else { None }
    }

    fn take(&self) -> Option<LockGuard<'_, T>> {
        let value = self.value.try_borrow_mut().ok()?;
        Some(LockGuard { value, release: Release(self) })
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`Cancelled`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<LockGuard<'_, T>, Cancelled>> {
        self.acquire_at(Location::caller())
    }

    pub(crate) async fn acquire_at(
        &self,
        at: &'static Location<'static>,
    ) -> Result<LockGuard<'_, T>, Cancelled> {
        if let Some(guard) = self.try_acquire() {
            return Ok(guard);
        }
        loop {
            let turn = Turn { lock: self, place: Some(self.waiters.enter(WaitsFor::Lock)?) };
            turn.wait(at).await?;
            // It is ours: others see the line, and stand in it.
            if let Some(guard) = self.take() {
                return Ok(guard);
            }
        }
    }
}

/// A place in the line that hands its turn on if it does not use it.
struct Turn<'a, T> {
    lock: &'a Lock<T>,
    place: Option<Place<'a>>,
}

impl<T> Turn<'_, T> {
    async fn wait(&self, at: &'static Location<'static>) -> Result<(), Cancelled> {
        match &self.place {
            Some(place) => place.wait(at).await,
            None => Ok(()),
        }
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let woken = self.place.take().is_some_and(|place| place.was_woken());
        if woken && !self.lock.is_locked() {
            self.lock.waiters.wake_one();
        }
    }
}

impl<'a, T> LockGuard<'a, T> {
    /// The lock that this is of.
    pub(crate) fn lock(&self) -> &'a Lock<T> {
        self.release.0
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("locked", &self.is_locked()).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
