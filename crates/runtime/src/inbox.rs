//! The only way in from other threads and from signals.
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use boros_reactor::Waker;

/// What other threads hand to a loop. One system call wakes the loop per burst, and none while it runs.
#[derive(Debug)]
pub struct Inbox<J> {
    jobs: Mutex<Vec<J>>,
    /// Whether `jobs` may hold something: looked at once a turn, without taking the lock.
    filled: AtomicBool,
    waker: Waker,
}

impl<J> Inbox<J> {
    pub(crate) fn new(waker: Waker) -> Self {
        Inbox { jobs: Mutex::new(Vec::new()), filled: AtomicBool::new(false), waker }
    }

    /// Hands `job` to the loop and wakes it if it waits. Any thread.
    pub fn push(&self, job: J) {
        self.lock().push(job);
        self.filled.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Wakes the loop without a job, so that it looks around. Any thread.
    pub fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }

    /// Moves what has come in to the end of `ready`, each made the job that it stands for.
    #[inline(always)]
    pub(crate) fn drain_into<K>(&self, ready: &mut VecDeque<K>, received: impl Fn(J) -> K) {
        // A look first: it is cheap, and nearly always there is nothing.
        if self.filled.load(Ordering::Relaxed) {
            self.drain_filled_into(ready, received);
        }
    }

    #[cold]
    fn drain_filled_into<K>(&self, ready: &mut VecDeque<K>, received: impl Fn(J) -> K) {
        if self.filled.swap(false, Ordering::SeqCst) {
            ready.extend(self.lock().drain(..).map(received));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<J>> {
        // A panic between lock and unlock is impossible but for exhausted memory; the jobs stay good.
        self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
