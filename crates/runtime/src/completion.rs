//! The end of a task or future: its result, and who is to be told.
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::call::Callable;
use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::job::Job;
use crate::wait::{Cancel, WaitsFor, WakeRef};
use crate::waiters::Waiters;

enum State<T> {
    Pending,
    Finished(Result<T>),
    /// The value was handed to one who awaited it.
    Taken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Finished,
    Cancelled,
}

/// Who is told of the end.
pub(crate) enum Waiter {
    Wake(WakeRef),
    /// Asked for the call when the end has come. Until then it must not hold what it waits for, or neither would ever go.
    Call(Box<dyn FnOnce() -> Option<Rc<dyn Callable>>>),
}

impl Waiter {
    fn tell(self, core: &Core) {
        match self {
            Waiter::Wake(wake) => wake.wake(),
            Waiter::Call(call) => {
                if let Some(call) = call() {
                    core.push(Job::Call(call));
                }
            }
        }
    }
}

pub(crate) struct Completion<T> {
    state: RefCell<State<T>>,
    status: Cell<Status>,
    waiters: RefCell<Waiters<Waiter>>,
    /// Somebody has seen the result.
    retrieved: Cell<bool>,
}

/// What can be awaited by several: tasks and futures.
pub(crate) trait Completes<T>: Cancel {
    fn completion(&self) -> &Completion<T>;
    fn core(&self) -> &Rc<Core>;
    fn reason(&self) -> WaitsFor;
}

impl<T> Completion<T> {
    pub(crate) fn new() -> Self {
        Completion {
            state: RefCell::new(State::Pending),
            status: Cell::new(Status::Pending),
            waiters: RefCell::new(Waiters::default()),
            retrieved: Cell::new(false),
        }
    }

    #[inline]
    pub(crate) fn status(&self) -> Status {
        self.status.get()
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.status.get() != Status::Pending
    }

    /// Sets the result and tells everybody.
    pub(crate) fn finish(&self, core: &Core, result: Result<T>) -> Result<(), InvalidState> {
        if self.is_done() {
            return Err(InvalidState::AlreadyDone);
        }
        let cancelled = matches!(&result, Err(error) if error.is_cancelled());
        self.status.set(if cancelled { Status::Cancelled } else { Status::Finished });
        *self.state.borrow_mut() = State::Finished(result);
        let waiters = {
            let mut waiters = self.waiters.borrow_mut();
            if waiters.is_empty() {
                return Ok(());
            }
            waiters.take()
        };
        for waiter in waiters {
            waiter.tell(core);
        }
        Ok(())
    }

    /// Has `waiter` told of the end: at once, if that is past.
    pub(crate) fn tell(&self, core: &Core, waiter: Waiter) -> u64 {
        if self.is_done() {
            waiter.tell(core);
            return 0;
        }
        self.waiters.borrow_mut().add(waiter)
    }

    /// Puts another in the place of a waiter.
    pub(crate) fn retell(&self, key: u64, waiter: Waiter) {
        let before = self.waiters.borrow_mut().replace(key, waiter);
        drop(before);
    }

    /// Answers whether there was such a waiter.
    pub(crate) fn forget(&self, key: u64) -> bool {
        let waiter = self.waiters.borrow_mut().remove(key);
        waiter.is_some()
    }

    /// The result, once there is one. An error stays for others, a value goes to who asks first.
    pub(crate) fn take(&self) -> Option<Result<T>> {
        let mut state = self.state.borrow_mut();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Pending => {
                *state = State::Pending;
                None
            }
            State::Finished(Ok(value)) => {
                self.retrieved.set(true);
                Some(Ok(value))
            }
            State::Finished(Err(error)) => {
                self.retrieved.set(true);
                *state = State::Finished(Err(error.clone()));
                Some(Err(error))
            }
            State::Taken => Some(Err(InvalidState::Taken.into())),
        }
    }

    /// A copy of the result, once there is one.
    pub(crate) fn copy(&self) -> Option<Result<T>>
    where
        T: Clone,
    {
        let state = self.state.borrow();
        if !matches!(*state, State::Pending) {
            self.retrieved.set(true);
        }
        match &*state {
            State::Pending => None,
            State::Finished(result) => Some(result.clone()),
            State::Taken => Some(Err(InvalidState::Taken.into())),
        }
    }

    /// The error, if there is one.
    pub(crate) fn error(&self) -> Option<Error> {
        match &*self.state.borrow() {
            State::Finished(Err(error)) => {
                self.retrieved.set(true);
                Some(error.clone())
            }
            _ => None,
        }
    }

    /// Whether it has ended with an error.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Finished(Err(_)))
    }

    /// An error that nobody has seen, to be reported when nobody can any more.
    pub(crate) fn unseen_error(&self) -> Option<Error> {
        if self.status.get() != Status::Finished || self.retrieved.get() {
            return None;
        }
        self.error()
    }
}
