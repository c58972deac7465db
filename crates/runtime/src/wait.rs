//! Where a task waits: how what it waits for wakes it, how a request to end reaches it, and what is to be seen of it.
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use boros_reactor::Time;

use crate::cancelled::Cancelled;
use crate::running;
use crate::task_object::{self, TaskObject};

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A point in time.
    Sleep(Time),
    /// Another task, by its name.
    Task(Rc<str>),
    /// A future.
    Future,
    /// Several tasks.
    Tasks(usize),
    /// A lock.
    Lock,
    /// An event.
    Event,
    /// A condition.
    Condition,
    /// A semaphore.
    Semaphore,
    /// A barrier.
    Barrier,
    /// An item of a queue.
    QueueItem,
    /// Room in a queue.
    QueueRoom,
    /// All items of a queue to be dealt with.
    QueueJoin,
    /// A descriptor to become readable.
    Readable(i32),
    /// A descriptor to become writable.
    Writable(i32),
    /// A function in another thread.
    Thread,
    /// The turn of others.
    Turn,
    /// A future of another crate.
    Foreign,
}

impl std::fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sleep(until) => write!(f, "time {:.3}", until.as_secs_f64()),
            Self::Task(name) => write!(f, "task {name}"),
            Self::Tasks(count) => write!(f, "{count} tasks"),
            Self::Readable(fd) => write!(f, "descriptor {fd} to be readable"),
            Self::Writable(fd) => write!(f, "descriptor {fd} to be writable"),
            other => f.write_str(match other {
                Self::Future => "a future",
                Self::Lock => "a lock",
                Self::Event => "an event",
                Self::Condition => "a condition",
                Self::Semaphore => "a semaphore",
                Self::Barrier => "a barrier",
                Self::QueueItem => "an item of a queue",
                Self::QueueRoom => "room in a queue",
                Self::QueueJoin => "the end of a queue's work",
                Self::Thread => "a thread",
                Self::Turn => "its turn",
                _ => "a future of another crate",
            }),
        }
    }
}

/// What can be asked to end.
pub(crate) trait Cancel {
    /// False if it has ended already.
    fn cancel(self: Rc<Self>, message: Option<Arc<str>>) -> bool;
    /// Itself, if it is a task.
    fn as_task(self: Rc<Self>) -> Result<Rc<dyn TaskObject>, Rc<dyn Cancel>>;
}

/// How to wake whoever waits.
#[derive(Clone)]
pub(crate) enum WakeRef {
    /// The task itself: a job, nothing allocated.
    Task(Rc<dyn TaskObject>),
    /// A waker that a combinator of another crate put between.
    Waker(Waker),
}

impl WakeRef {
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            WakeRef::Task(task) => task_object::schedule(&task),
            WakeRef::Waker(waker) => waker.wake(),
        }
    }

    /// For a future that is polled with `cx`.
    #[inline]
    pub(crate) fn new(cx: &Context<'_>, task: &Rc<dyn TaskObject>) -> WakeRef {
        if task.header().with_waker(|waker| cx.waker().will_wake(waker)) == Some(true) {
            WakeRef::Task(Rc::clone(task))
        } else {
            WakeRef::Waker(cx.waker().clone())
        }
    }
}

/// One place where a task waits.
pub(crate) struct Place {
    key: u64,
    pub(crate) reason: WaitsFor,
    pub(crate) at: &'static Location<'static>,
    target: Option<Rc<dyn Cancel>>,
    waker: Option<Waker>,
}

/// The places where a task waits: nearly always one.
#[derive(Default)]
pub(crate) struct Waits {
    first: Option<Place>,
    more: Vec<Place>,
    next_key: u64,
}

impl Waits {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.first.iter().chain(&self.more)
    }

    /// What a request to end has to reach: what is awaited, and the wakers put between.
    pub(crate) fn reach(&self) -> (Vec<Rc<dyn Cancel>>, Vec<WakeRef>) {
        let targets = self.iter().filter_map(|place| place.target.clone()).collect();
        let wakers =
            self.iter().filter_map(|place| place.waker.clone()).map(WakeRef::Waker).collect();
        (targets, wakers)
    }

    fn add(&mut self, mut place: Place) -> u64 {
        self.next_key += 1;
        place.key = self.next_key;
        match &mut self.first {
            None => self.first = Some(place),
            Some(_) => self.more.push(place),
        }
        self.next_key
    }

    fn remove(&mut self, key: u64) -> Option<Place> {
        if self.first.as_ref().is_some_and(|place| place.key == key) {
            return self.first.take();
        }
        let index = self.more.iter().position(|place| place.key == key)?;
        Some(self.more.swap_remove(index))
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut Place> {
        self.first.iter_mut().chain(&mut self.more).find(|place| place.key == key)
    }
}

/// The wait of one future of this crate. It is entered in the task's list while the future is suspended.
#[derive(Default)]
pub(crate) struct Wait {
    entered: Option<(Rc<dyn TaskObject>, u64)>,
}

impl Wait {
    pub(crate) const fn new() -> Self {
        Wait { entered: None }
    }

    /// To be asked first when a future is polled again: whether the task was asked to end while it waited here. Then the wait
    /// is over, also when what was waited for has come meanwhile.
    #[inline]
    pub(crate) fn interrupted(&mut self) -> Option<Cancelled> {
        let (task, _) = self.entered.as_ref()?;
        if !task.header().must_cancel() {
            return None;
        }
        // A future may have been handed on to another task since: the request is not for that one.
        if !running::task().is_some_and(|current| Rc::ptr_eq(&current, task)) {
            return None;
        }
        let cancelled = task.header().take_cancel();
        self.end();
        cancelled
    }

    /// Enters the wait in the list of the task that runs, and answers how to wake it.
    ///
    /// # Errors
    /// The task was asked to end before: it must not begin to wait. If there is a `target` that can be asked, it is, and the
    /// wait begins.
    #[inline]
    pub(crate) fn suspend(
        &mut self,
        cx: &Context<'_>,
        at: &'static Location<'static>,
        reason: impl FnOnce() -> WaitsFor,
        target: impl FnOnce() -> Option<Rc<dyn Cancel>>,
    ) -> Result<WakeRef, Cancelled> {
        let Some(task) = running::task() else {
            // Polled by an executor of another crate: there is no one to be cancelled.
            return Ok(WakeRef::Waker(cx.waker().clone()));
        };
        let header = task.header();
        let mut target_now = None;
        if header.must_cancel() {
            target_now = target();
            let passed = target_now.as_ref().is_some_and(|on| task_object::pass_on(header, on));
            if !passed && let Some(cancelled) = header.take_cancel() {
                self.end();
                return Err(cancelled);
            }
        } else if self.entered.is_none() {
            target_now = target();
        }
        let wake = WakeRef::new(cx, &task);
        let waker = match &wake {
            WakeRef::Task(_) => None,
            WakeRef::Waker(waker) => Some(waker.clone()),
        };
        if let Some((entered, key)) = &self.entered
            && Rc::ptr_eq(entered, &task)
        {
            if let Some(place) = header.waits.borrow_mut().get_mut(*key) {
                place.waker = waker;
            }
            return Ok(wake);
        }
        self.end();
        let place = Place { key: 0, reason: reason(), at, target: target_now, waker };
        let key = header.waits.borrow_mut().add(place);
        self.entered = Some((task, key));
        Ok(wake)
    }

    /// The wait is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some((task, key)) = self.entered.take() {
            // Dropped when the list has been given back: the last reference to a future may be among it.
            let place = task.header().waits.borrow_mut().remove(key);
            drop(place);
        }
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
