//! Threads for functions that block.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::inbox::Inbox;
use crate::job::Remote;
use crate::wait::{Wait, WaitsFor, WakeRef};
use crate::waiters::Waiters;

/// As many as asyncio's default executor has.
fn max_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).saturating_add(4).min(32)
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The work runs without the lock, so that a panic cannot leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(work) = queue.work.pop_front() {
                drop(queue);
                work();
                queue = self.lock();
            } else if queue.closed {
                return;
            } else {
                queue.idle += 1;
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}

/// The loop's threads, started when they are needed.
pub(crate) struct Executor {
    pool: Arc<Pool>,
    inbox: Arc<Inbox<Remote>>,
    /// Functions whose end the loop has not heard of.
    outstanding: Cell<usize>,
    idle_waiters: RefCell<Waiters<WakeRef>>,
}

impl Executor {
    pub(crate) fn new(inbox: Arc<Inbox<Remote>>) -> Self {
        Executor {
            pool: Arc::default(),
            inbox,
            outstanding: Cell::new(0),
            idle_waiters: RefCell::new(Waiters::default()),
        }
    }

    /// Whether no thread works for the loop.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.get() == 0
    }

    /// The loop has heard of the end of a function.
    pub(crate) fn finished(&self, deliver: impl FnOnce() -> Option<Waker>) {
        self.outstanding.set(self.outstanding.get() - 1);
        if let Some(waker) = deliver() {
            waker.wake();
        }
        if self.is_idle() {
            let waiters = self.idle_waiters.borrow_mut().take();
            waiters.for_each(WakeRef::wake);
        }
    }

    fn submit(&self, work: Work) -> std::io::Result<()> {
        let mut queue = self.pool.lock();
        if queue.idle <= queue.work.len() && queue.threads < max_threads() {
            let pool = Arc::clone(&self.pool);
            std::thread::Builder::new()
                .name(format!("boros-{}", queue.threads))
                .spawn(move || pool.run())?;
            queue.threads += 1;
        }
        queue.work.push_back(work);
        self.pool.filled.notify_one();
        Ok(())
    }

    /// The threads end when the functions that are queued have ended. Does not wait for that.
    pub(crate) fn close(&self) {
        self.pool.lock().closed = true;
        self.pool.filled.notify_all();
    }

    pub(crate) fn run<T: Send + 'static>(
        core: &Core,
        function: impl FnOnce() -> T + Send + 'static,
        at: &'static Location<'static>,
    ) -> InExecutor<T> {
        let shared = Arc::new(Mutex::new(Slot { result: None, waker: None, cancelled: false }));
        let (theirs, inbox) = (Arc::clone(&shared), Arc::clone(&core.executor.inbox));
        let work = Box::new(move || {
            let result = if lock(&theirs).cancelled {
                None
            } else {
                Some(
                    catch_unwind(AssertUnwindSafe(function))
                        .map_err(|payload| Error::panicked(&*payload)),
                )
            };
            // The result comes in behind what the function itself sent to the loop.
            inbox.push(Remote::Finished(Box::new(move || {
                let mut slot = lock(&theirs);
                slot.result = result;
                slot.waker.take()
            })));
        });
        let failed = if core.closed.get() {
            Some(InvalidState::Closed.into())
        } else {
            match core.executor.submit(work) {
                Ok(()) => {
                    core.executor.outstanding.set(core.executor.outstanding.get() + 1);
                    None
                }
                Err(error) => Some(error.into()),
            }
        };
        if let Some(error) = failed {
            lock(&shared).result = Some(Err(error));
        }
        InExecutor { shared, wait: Wait::new(), at }
    }

    /// Waits until no thread works for the loop.
    pub(crate) fn poll_idle(
        &self,
        cx: &Context<'_>,
        wait: &mut Wait,
        at: &'static Location<'static>,
    ) -> Poll<Result<()>> {
        if let Some(cancelled) = wait.interrupted() {
            return Poll::Ready(Err(cancelled.into()));
        }
        if self.is_idle() {
            wait.end();
            return Poll::Ready(Ok(()));
        }
        match wait.suspend(cx, at, || WaitsFor::Thread, || None) {
            Err(cancelled) => Poll::Ready(Err(cancelled.into())),
            Ok(wake) => {
                self.idle_waiters.borrow_mut().add(wake);
                Poll::Pending
            }
        }
    }
}

struct Slot<T> {
    result: Option<Result<T>>,
    waker: Option<Waker>,
    cancelled: bool,
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    // No foreign code runs under this lock.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of a function that runs in another thread: see [`LoopHandle::run_in_executor`](crate::LoopHandle::run_in_executor).
///
/// Dropped, or cancelled, before the function has begun, it keeps the function from beginning; one that has begun goes on.
#[must_use = "nobody hears of the result unless this is awaited, and dropping it may keep the function from running"]
pub struct InExecutor<T> {
    shared: Arc<Mutex<Slot<T>>>,
    wait: Wait,
    at: &'static Location<'static>,
}

impl<T> Future for InExecutor<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let Some(cancelled) = this.wait.interrupted() {
            lock(&this.shared).cancelled = true;
            return Poll::Ready(Err(cancelled.into()));
        }
        let mut slot = lock(&this.shared);
        if let Some(result) = slot.result.take() {
            drop(slot);
            this.wait.end();
            return Poll::Ready(result);
        }
        slot.waker = Some(cx.waker().clone());
        drop(slot);
        match this.wait.suspend(cx, this.at, || WaitsFor::Thread, || None) {
            Ok(_) => Poll::Pending,
            Err(cancelled) => {
                lock(&this.shared).cancelled = true;
                Poll::Ready(Err(cancelled.into()))
            }
        }
    }
}

impl<T> Drop for InExecutor<T> {
    fn drop(&mut self) {
        let result = {
            let mut slot = lock(&self.shared);
            slot.cancelled = true;
            slot.result.take()
        };
        drop(result);
    }
}

impl<T> fmt::Debug for InExecutor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InExecutor").finish_non_exhaustive()
    }
}
