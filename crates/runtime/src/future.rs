//! Futures: results that somebody will set.
use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::call::CallCell;
use crate::cancelled::Cancelled;
use crate::completion::{Completes, Completion, Status, Waiter};
use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::join::Join;
use crate::report::ErrorReport;
use crate::task::CallbackId;
use crate::task_object::TaskObject;
use crate::wait::{Cancel, WaitsFor};

type OnCancel = Box<dyn Fn(Option<Arc<str>>) -> bool>;

struct FutureCell<T> {
    core: Rc<Core>,
    completion: Completion<T>,
    /// What a request to end does, if it does not end the future at once.
    on_cancel: Option<OnCancel>,
    /// What a task that awaits this is said to wait for.
    reason: WaitsFor,
}

impl<T> Drop for FutureCell<T> {
    fn drop(&mut self) {
        if let Some(error) = self.completion.unseen_error() {
            self.core
                .report(&ErrorReport::new("a future's error was never retrieved", Some(error)));
        }
    }
}

impl<T: 'static> Cancel for FutureCell<T> {
    fn cancel(self: Rc<Self>, message: Option<Arc<str>>) -> bool {
        if self.completion.is_done() {
            return false;
        }
        match &self.on_cancel {
            Some(on_cancel) => on_cancel(message),
            None => self.completion.finish(&self.core, Err(Cancelled::new(message).into())).is_ok(),
        }
    }

    fn as_task(self: Rc<Self>) -> Result<Rc<dyn TaskObject>, Rc<dyn Cancel>> {
        Err(self)
    }
}

impl<T: 'static> Completes<T> for FutureCell<T> {
    fn completion(&self) -> &Completion<T> {
        &self.completion
    }

    fn core(&self) -> &Rc<Core> {
        &self.core
    }

    fn reason(&self) -> WaitsFor {
        self.reason.clone()
    }
}

/// A result that does not exist yet: somebody sets it, others await it. Clones are the same future.
///
/// Made by [`LoopHandle::create_future`](crate::LoopHandle::create_future). `future.await` gives the value to the first that
/// awaits; where several do, all use [`shared`](Future::shared). A task that is cancelled while it awaits the future cancels
/// the future.
pub struct Future<T: 'static> {
    cell: Rc<FutureCell<T>>,
}

impl<T: 'static> Future<T> {
    pub(crate) fn new(core: Rc<Core>) -> Self {
        Self::build(core, None, WaitsFor::Future)
    }

    /// As [`new`](Self::new), for a wait that has a name.
    pub(crate) fn for_wait(core: Rc<Core>, reason: WaitsFor) -> Self {
        Self::build(core, None, reason)
    }

    /// One that does something else when it is asked to end.
    pub(crate) fn with_cancel(
        core: Rc<Core>,
        reason: WaitsFor,
        on_cancel: impl Fn(Option<Arc<str>>) -> bool + 'static,
    ) -> Self {
        Self::build(core, Some(Box::new(on_cancel)), reason)
    }

    fn build(core: Rc<Core>, on_cancel: Option<OnCancel>, reason: WaitsFor) -> Self {
        let completion = Completion::new();
        Future { cell: Rc::new(FutureCell { core, completion, on_cancel, reason }) }
    }

    /// Waits for the result, on behalf of a program's line.
    pub(crate) fn join(&self, at: &'static Location<'static>) -> Join<T> {
        Join::new(self.cell.clone(), Completion::take, at)
    }

    /// Whether both are handles of one future.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.cell, &other.cell)
    }

    /// Sets the result.
    pub(crate) fn finish(&self, result: Result<T>) -> Result<(), InvalidState> {
        self.cell.completion.finish(&self.cell.core, result)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// [`InvalidState::AlreadyDone`].
    pub fn set_result(&self, value: T) -> Result<(), InvalidState> {
        self.finish(Ok(value))
    }

    /// Sets an error in place of a value.
    ///
    /// # Errors
    /// [`InvalidState::AlreadyDone`].
    pub fn set_exception(&self, error: impl Into<Error>) -> Result<(), InvalidState> {
        self.finish(Err(error.into()))
    }

    /// Ends the future with [`Cancelled`]; false if it is done already.
    pub fn cancel(&self) -> bool {
        Rc::clone(&self.cell).cancel(None)
    }

    /// As [`cancel`](Future::cancel), with a reason for whoever meets it.
    pub fn cancel_with(&self, message: &str) -> bool {
        Rc::clone(&self.cell).cancel(Some(message.into()))
    }

    /// Whether there is a value or an error, or it was cancelled.
    pub fn is_done(&self) -> bool {
        self.cell.completion.is_done()
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cell.completion.status() == Status::Cancelled
    }

    /// A copy of the result.
    ///
    /// # Errors
    /// What was set as error; [`InvalidState::NotDone`] while there is nothing; [`InvalidState::Taken`] if the value was
    /// taken.
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.cell.completion.copy().unwrap_or(Err(InvalidState::NotDone.into()))
    }

    /// The result itself, which nobody else gets then.
    ///
    /// # Errors
    /// As [`result`](Future::result).
    pub fn take_result(&self) -> Result<T> {
        self.cell.completion.take().unwrap_or(Err(InvalidState::NotDone.into()))
    }

    /// The error, if one was set.
    pub fn exception(&self) -> Option<Error> {
        self.cell.completion.error()
    }

    /// Waits for the result, as `await` does, and copies the value.
    #[track_caller]
    pub fn shared(&self) -> Join<T>
    where
        T: Clone,
    {
        Join::new(self.cell.clone(), Completion::copy, Location::caller())
    }

    /// Has `function` called, in a later turn, when the future is done; if it is, in the next.
    pub fn add_done_callback(&self, function: impl FnOnce(&Future<T>) + 'static) -> CallbackId {
        let cell = Rc::downgrade(&self.cell);
        let call = Waiter::Call(Box::new(move || {
            let future = Future { cell: cell.upgrade()? };
            Some(CallCell::new(move || function(&future)))
        }));
        CallbackId(self.cell.completion.tell(&self.cell.core, call))
    }

    /// Takes a callback back; false if it was called or is about to be.
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        self.cell.completion.forget(id.0)
    }
}

impl<T: 'static> Clone for Future<T> {
    fn clone(&self) -> Self {
        Future { cell: Rc::clone(&self.cell) }
    }
}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cell.completion.status() {
            Status::Pending => "<Future pending>",
            Status::Finished => "<Future finished>",
            Status::Cancelled => "<Future cancelled>",
        })
    }
}

impl<T: 'static> IntoFuture for Future<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;

    #[track_caller]
    fn into_future(self) -> Join<T> {
        Join::new(self.cell, Completion::take, Location::caller())
    }
}

impl<T: 'static> IntoFuture for &Future<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;

    #[track_caller]
    fn into_future(self) -> Join<T> {
        Join::new(self.cell.clone(), Completion::take, Location::caller())
    }
}
