//! Waiting for a change of what a lock protects.
use std::future::Future;
use std::panic::Location;

use crate::cancelled::Cancelled;
use crate::sync::lock::LockGuard;
use crate::sync::wait_queue::WaitQueue;
use crate::wait::WaitsFor;

/// Tasks that wait for what a [`Lock`](crate::sync::Lock) protects to change.
///
/// Unlike asyncio's, a wait that is cancelled does not take the lock again: the guard was given away, and no one is owed it.
#[derive(Default)]
pub struct Condition {
    waiters: WaitQueue,
}

impl Condition {
    /// One that nobody waits for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Frees the lock, waits to be notified, and takes the lock again.
    ///
    /// # Errors
    /// [`Cancelled`]; the lock is free then.
    #[track_caller]
    pub fn wait<'a, T>(
        &'a self,
        guard: LockGuard<'a, T>,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, Cancelled>> {
        self.wait_at(guard, Location::caller())
    }

    async fn wait_at<'a, T>(
        &'a self,
        guard: LockGuard<'a, T>,
        at: &'static Location<'static>,
    ) -> Result<LockGuard<'a, T>, Cancelled> {
        let lock = guard.lock();
        let place = self.waiters.enter(WaitsFor::Condition)?;
        drop(guard);
        let woken = place.wait(at).await;
        let notified = place.was_woken();
        drop(place);
        let result = match woken {
            Ok(()) => lock.acquire_at(at).await,
            Err(cancelled) => Err(cancelled),
        };
        // A notification that this one cannot use goes to another.
        if result.is_err() && notified {
            self.notify(1);
        }
        result
    }

    /// Waits until `predicate` holds, as often as it takes.
    ///
    /// # Errors
    /// [`Cancelled`]; the lock is free then.
    #[track_caller]
    pub fn wait_for<'a, T>(
        &'a self,
        mut guard: LockGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, Cancelled>> {
        let at = Location::caller();
        async move {
            while !predicate(&mut guard) {
                guard = self.wait_at(guard, at).await?;
            }
            Ok(guard)
        }
    }

    /// Wakes at most `count` of those who wait, in order.
    pub fn notify(&self, count: usize) {
        for _ in 0..count {
            if !self.waiters.wake_one() {
                break;
            }
        }
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.waiters.wake_all();
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condition")
            .field("waiting", &self.waiters.has_sleepers())
            .finish_non_exhaustive()
    }
}
