//! Handles that other threads may cancel: from 3.14 on such a thread waits while the callback runs, so that it knows
//! whether it came too late (CPython's `asyncio.events._ThreadSafeHandle`).
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::event_loop::thread_ident;

/// A handle that only its loop's thread uses.
const UNSHARED: u64 = u64::MAX;
/// A shared handle whose callback does not run.
const IDLE: u64 = 0;

/// How many threads wait, for whichever handle: seldom any.
static WAITERS: AtomicUsize = AtomicUsize::new(0);
static LOCK: Mutex<()> = Mutex::new(());
static ENDED: Condvar = Condvar::new();

/// Whether a handle is shared, and which thread runs its callback.
pub(crate) struct Sharing(AtomicU64);

impl Default for Sharing {
    fn default() -> Self {
        Sharing(AtomicU64::new(UNSHARED))
    }
}

/// The time in which the callback runs.
pub(crate) struct Running<'a>(Option<&'a Sharing>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(sharing) = self.0 else { return };
        sharing.0.store(IDLE, SeqCst);
        if WAITERS.load(SeqCst) > 0 {
            // Whoever looked before the store is in its wait by the time that the lock is had.
            let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            ENDED.notify_all();
        }
    }
}

impl Sharing {
    pub(crate) fn share(&self) {
        self.0.store(IDLE, SeqCst);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.0.load(SeqCst) != UNSHARED
    }

    /// Notes that this thread runs the callback, until the answer goes.
    #[inline]
    pub(crate) fn enter(&self) -> Running<'_> {
        if !self.is_shared() {
            return Running(None);
        }
        self.0.store(thread_ident(), SeqCst);
        Running(Some(self))
    }

    /// Waits while another thread runs the callback; other threads run Python meanwhile.
    pub(crate) fn wait(&self, py: Python<'_>) {
        let runs_elsewhere = || {
            let thread = self.0.load(SeqCst);
            thread != UNSHARED && thread != IDLE && thread != thread_ident()
        };
        if !runs_elsewhere() {
            return;
        }
        py.detach(|| {
            WAITERS.fetch_add(1, SeqCst);
            let mut guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            while runs_elsewhere() {
                guard = ENDED.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            WAITERS.fetch_sub(1, SeqCst);
        });
    }
}
