//! Items handed from tasks to tasks.
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::error::Result;
use crate::sync::wait_queue::WaitQueue;
use crate::wait::WaitsFor;

/// Why a queue did not take or give an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueError {
    /// There is no room.
    Full,
    /// There is no item.
    Empty,
    /// The queue was shut down.
    ShutDown,
    /// More items were said to be dealt with than were put in.
    TooManyDone,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full: await put()",
            Self::Empty => "the queue is empty: await get()",
            Self::ShutDown => "the queue was shut down",
            Self::TooManyDone => "task_done() was called more often than items were put in",
        })
    }
}

impl std::error::Error for QueueError {}

enum Order<T> {
    Fifo,
    Lifo,
    Sorted(fn(&T, &T) -> Ordering),
}

/// Items that some tasks put in and others take out. Both may have to wait, and are served in the order in which they came.
pub struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    order: Order<T>,
    /// Zero: any number.
    capacity: usize,
    getters: WaitQueue,
    putters: WaitQueue,
    joiners: WaitQueue,
    unfinished: Cell<usize>,
    shut_down: Cell<bool>,
}

impl<T> Queue<T> {
    /// One that gives the items in the order in which they came, and has room for `capacity` of them; for any number, if that
    /// is zero.
    pub fn new(capacity: usize) -> Self {
        Self::ordered(capacity, Order::Fifo)
    }

    /// One that gives the item that came last.
    pub fn lifo(capacity: usize) -> Self {
        Self::ordered(capacity, Order::Lifo)
    }

    /// One that gives the smallest item; among equal ones, the one that came first.
    pub fn priority(capacity: usize) -> Self
    where
        T: Ord,
    {
        Self::ordered(capacity, Order::Sorted(T::cmp))
    }

    fn ordered(capacity: usize, order: Order<T>) -> Self {
        Queue {
            items: RefCell::new(VecDeque::new()),
            order,
            capacity,
            getters: WaitQueue::default(),
            putters: WaitQueue::default(),
            joiners: WaitQueue::default(),
            unfinished: Cell::new(0),
            shut_down: Cell::new(false),
        }
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.items.borrow().len()
    }

    /// Whether there is no item in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room in it.
    pub fn is_full(&self) -> bool {
        self.capacity > 0 && self.len() >= self.capacity
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::ShutDown`], and the item.
    pub fn put_nowait(&self, item: T) -> Result<(), (QueueError, T)> {
        if self.shut_down.get() {
            return Err((QueueError::ShutDown, item));
        }
        if self.is_full() {
            return Err((QueueError::Full, item));
        }
        let mut items = self.items.borrow_mut();
        match self.order {
            Order::Fifo => items.push_back(item),
            Order::Lifo => items.push_front(item),
            Order::Sorted(compare) => {
                let at = items.partition_point(|other| compare(other, &item).is_le());
                items.insert(at, item);
            }
        }
        drop(items);
        self.unfinished.set(self.unfinished.get() + 1);
        self.getters.wake_one();
        Ok(())
    }

    /// Takes an item out if there is one.
    ///
    /// # Errors
    /// [`QueueError::Empty`]; [`QueueError::ShutDown`] if there will be none any more.
    pub fn get_nowait(&self) -> Result<T, QueueError> {
        let item = self.items.borrow_mut().pop_front();
        match item {
            Some(item) => {
                self.putters.wake_one();
                Ok(item)
            }
            None if self.shut_down.get() => Err(QueueError::ShutDown),
            None => Err(QueueError::Empty),
        }
    }

    /// Puts an item in, as soon as there is room.
    ///
    /// # Errors
    /// [`QueueError::ShutDown`], [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<()>> + '_ {
        let at = Location::caller();
        async move {
            let mut item = item;
            loop {
                match self.put_nowait(item) {
                    Ok(()) => return Ok(()),
                    Err((QueueError::Full, back)) => item = back,
                    Err((error, _)) => return Err(error.into()),
                }
                let turn = Turn { line: &self.putters, hand_on: || !self.is_full() };
                turn.wait(WaitsFor::QueueRoom, at).await?;
            }
        }
    }

    /// Takes an item out, as soon as there is one.
    ///
    /// # Errors
    /// [`QueueError::ShutDown`] if there will be none any more; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T>> + '_ {
        let at = Location::caller();
        async move {
            loop {
                match self.get_nowait() {
                    Ok(item) => return Ok(item),
                    Err(QueueError::Empty) => {}
                    Err(error) => return Err(error.into()),
                }
                let turn = Turn { line: &self.getters, hand_on: || !self.is_empty() };
                turn.wait(WaitsFor::QueueItem, at).await?;
            }
        }
    }

    /// Says that an item which was taken out has been dealt with.
    ///
    /// # Errors
    /// [`QueueError::TooManyDone`].
    pub fn task_done(&self) -> Result<(), QueueError> {
        let left = self.unfinished.get().checked_sub(1).ok_or(QueueError::TooManyDone)?;
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.wake_all();
        }
        Ok(())
    }

    /// Waits until all items that were put in have been dealt with.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<()>> + '_ {
        let at = Location::caller();
        async move {
            while self.unfinished.get() > 0 {
                self.joiners.enter(WaitsFor::QueueJoin)?.wait(at).await?;
            }
            Ok(())
        }
    }

    /// Takes no more items. Those in it can still be taken out, unless it is `immediate`: then they are dropped, and count as
    /// dealt with.
    pub fn shutdown(&self, immediate: bool) {
        self.shut_down.set(true);
        if immediate {
            let items = std::mem::take(&mut *self.items.borrow_mut());
            self.unfinished.set(self.unfinished.get().saturating_sub(items.len()));
            if self.unfinished.get() == 0 {
                self.joiners.wake_all();
            }
            drop(items);
        }
        self.getters.wake_all();
        self.putters.wake_all();
    }
}

/// A wait in a line that wakes the next one if it does not use its turn.
struct Turn<'a, F: Fn() -> bool> {
    line: &'a WaitQueue,
    /// Whether there is something to hand on.
    hand_on: F,
}

impl<F: Fn() -> bool> Turn<'_, F> {
    async fn wait(&self, reason: WaitsFor, at: &'static Location<'static>) -> Result<()> {
        let place = self.line.enter(reason)?;
        let mut unused = Unused { turn: self, place: Some(place) };
        if let Some(place) = &unused.place {
            place.wait(at).await?;
        }
        unused.place = None;
        Ok(())
    }
}

struct Unused<'t, 'a, F: Fn() -> bool> {
    turn: &'t Turn<'a, F>,
    place: Option<super::wait_queue::Place<'a>>,
}

impl<F: Fn() -> bool> Drop for Unused<'_, '_, F> {
    fn drop(&mut self) {
        let woken = self.place.take().is_some_and(|place| place.was_woken());
        if woken && (self.turn.hand_on)() {
            self.turn.line.wake_one();
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("shut_down", &self.shut_down.get())
            .finish_non_exhaustive()
    }
}
