//! Tasks: futures that the loop runs.
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::call::CallCell;
use crate::completion::{Completes, Completion, Status, Waiter};
use crate::core::Core;
use crate::error::{Error, InvalidState, Result};
use crate::join::Join;
use crate::report::ErrorReport;
use crate::task_info::TaskInfo;
use crate::task_object::{self, Header, TaskObject};
use crate::wait::{Cancel, WaitsFor};

struct TaskCell<F, T> {
    header: Header,
    /// Pinned: it is never moved out, only dropped where it is.
    future: RefCell<Option<F>>,
    completion: Completion<T>,
}

/// A task with this type of result.
trait TypedTask<T>: TaskObject + Completes<T> {}

impl<F, T> TypedTask<T> for TaskCell<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
}

impl<F, T> TaskCell<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    fn finish(&self, result: Result<T>) {
        let header = &self.header;
        let waker = header.take_waker();
        let entry = header.core.tasks.borrow_mut().remove(header.key, waker);
        // Whoever runs this holds the task as well.
        drop(entry);
        // It has not ended before: only the end of the future leads here, and that happens once.
        let _ = self.completion.finish(&header.core, result);
    }
}

impl<F, T> TaskObject for TaskCell<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    #[inline]
    fn header(&self) -> &Header {
        &self.header
    }

    fn step(&self) {
        let header = &self.header;
        header.begin_step();
        let Ok(mut slot) = self.future.try_borrow_mut() else { return };
        let Some(future) = slot.as_mut() else { return };
        let asked = header.must_cancel();
        let outcome = if asked && header.steps.get() == 1 {
            // As in asyncio: what was cancelled before its first step never starts.
            Poll::Pending
        } else {
            // SAFETY: the future is inside of a counted allocation that hands out no `&mut` to it but here, is dropped in
            // place by `*slot = None`, and never moved out of it.
            let future = unsafe { Pin::new_unchecked(future) };
            let polled = header.with_waker(|waker| {
                catch_unwind(AssertUnwindSafe(|| future.poll(&mut Context::from_waker(waker))))
            });
            match polled {
                Some(Ok(poll)) => poll,
                Some(Err(payload)) => Poll::Ready(Err(Error::panicked(&*payload))),
                None => return,
            }
        };
        let result = match outcome {
            Poll::Ready(result) => result,
            // The request was there before this step, and no wait of ours took it up: only futures of other crates wait.
            Poll::Pending if asked => match header.take_cancel() {
                Some(cancelled) => Err(cancelled.into()),
                None => return,
            },
            Poll::Pending => return,
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| *slot = None));
        drop(slot);
        self.finish(dropped.map_err(|payload| Error::panicked(&*payload)).and(result));
    }

    #[inline]
    fn is_done(&self) -> bool {
        self.completion.is_done()
    }

    fn is_cancelled(&self) -> bool {
        self.completion.status() == Status::Cancelled
    }

    fn abandon(&self) {
        if self.is_done() {
            return;
        }
        if let Ok(mut slot) = self.future.try_borrow_mut() {
            let dropped = catch_unwind(AssertUnwindSafe(|| *slot = None));
            drop(slot);
            let cancelled = Err(crate::Cancelled::default().into());
            self.finish(dropped.map_err(|payload| Error::panicked(&*payload)).and(cancelled));
        }
    }

    fn tell_end(&self, function: Box<dyn FnOnce()>) {
        let call = Waiter::Call(Box::new(move || Some(CallCell::new(function))));
        self.completion.tell(&self.header.core, call);
    }

    fn body(&self) -> &'static str {
        std::any::type_name::<F>()
    }
}

impl<F, T> Cancel for TaskCell<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    fn cancel(self: Rc<Self>, message: Option<Arc<str>>) -> bool {
        let task: Rc<dyn TaskObject> = self;
        task_object::cancel(&task, message)
    }

    fn as_task(self: Rc<Self>) -> Result<Rc<dyn TaskObject>, Rc<dyn Cancel>> {
        Ok(self)
    }
}

impl<F, T> Completes<T> for TaskCell<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    fn completion(&self) -> &Completion<T> {
        &self.completion
    }

    fn core(&self) -> &Rc<Core> {
        &self.header.core
    }

    fn reason(&self) -> WaitsFor {
        WaitsFor::Task(self.header.name())
    }
}

impl<F, T> Drop for TaskCell<F, T> {
    fn drop(&mut self) {
        if let Some(error) = self.completion.unseen_error() {
            let report = ErrorReport::new("a task's error was never retrieved", Some(error))
                .of_task(&self.header.name());
            self.header.core.report(&report);
        }
    }
}

/// Makes a task of `future`, to be stepped in the next turn.
pub(crate) fn spawn<T, F>(
    core: &Rc<Core>,
    future: F,
    at: &'static Location<'static>,
) -> Result<Task<T>, InvalidState>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    if core.closed.get() {
        return Err(InvalidState::Closed);
    }
    let (key, serial, waker) = core.tasks.borrow_mut().reserve(core.id, &core.inbox);
    let inner = Rc::new(TaskCell {
        header: Header::new(Rc::clone(core), key, serial, waker, at),
        future: RefCell::new(Some(future)),
        completion: Completion::new(),
    });
    core.tasks.borrow_mut().put(key, Rc::clone(&inner) as Rc<dyn TaskObject>);
    let object: Rc<dyn TaskObject> = Rc::clone(&inner) as Rc<dyn TaskObject>;
    task_object::schedule(&object);
    Ok(Task { inner })
}

/// A task: a future that the loop runs, beside others, to its end. The handle can be cloned; dropping all of them does not end
/// the task.
///
/// `task.await` waits for the end and answers with the result. The value goes to the first that awaits; where several do, all
/// use [`shared`](Task::shared). An error that nobody ever asks for is told to the loop's exception handler.
///
/// # Cancellation
///
/// [`cancel`](Task::cancel) raises [`Cancelled`](crate::Cancelled) where the task waits. It may clean up, awaiting if need be,
/// and passes the error on; or it refuses, by not passing it on.
pub struct Task<T: 'static> {
    inner: Rc<dyn TypedTask<T>>,
}

impl<T: 'static> Task<T> {
    pub(crate) fn object(&self) -> Rc<dyn TaskObject> {
        Rc::clone(&self.inner) as Rc<dyn TaskObject>
    }

    pub(crate) fn completes(&self) -> Rc<dyn Completes<T>> {
        Rc::clone(&self.inner) as Rc<dyn Completes<T>>
    }

    pub(crate) fn completion(&self) -> &Completion<T> {
        self.inner.completion()
    }

    /// Asks the task to end; false if it has ended already.
    ///
    /// The request goes to what the task awaits, down to the innermost task or future, and comes back up as [`Cancelled`].
    /// A task that has not begun never does.
    ///
    /// [`Cancelled`]: crate::Cancelled
    pub fn cancel(&self) -> bool {
        task_object::cancel(&self.object(), None)
    }

    /// As [`cancel`](Task::cancel), with a reason for whoever meets it.
    pub fn cancel_with(&self, message: &str) -> bool {
        task_object::cancel(&self.object(), Some(message.into()))
    }

    /// How many requests to end there were, less those taken back.
    pub fn cancelling(&self) -> u32 {
        self.inner.header().cancelling.get()
    }

    /// Takes back one request to end, for one that dealt with it without passing it on. Answers how many are left.
    pub fn uncancel(&self) -> u32 {
        self.inner.header().uncancel()
    }

    /// Whether the task has ended: returned, failed or been cancelled.
    pub fn is_done(&self) -> bool {
        self.inner.is_done()
    }

    /// Whether the task has ended by passing on a cancellation.
    pub fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }

    /// The name, `Task-` and a number unless it was given another.
    pub fn name(&self) -> Rc<str> {
        self.inner.header().name()
    }

    /// Gives the task a name.
    pub fn set_name(&self, name: &str) {
        *self.inner.header().name.borrow_mut() = Some(name.into());
    }

    /// As [`set_name`](Task::set_name), in the expression that creates the task.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.set_name(name);
        self
    }

    /// A copy of the result.
    ///
    /// # Errors
    /// That of the task; [`InvalidState::NotDone`] while there is none; [`InvalidState::Taken`] if the value was taken.
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.completion().copy().unwrap_or(Err(InvalidState::NotDone.into()))
    }

    /// The result itself, which nobody else gets then.
    ///
    /// # Errors
    /// As [`result`](Task::result).
    pub fn take_result(&self) -> Result<T> {
        self.completion().take().unwrap_or(Err(InvalidState::NotDone.into()))
    }

    /// The error that the task has ended with, if it has.
    pub fn exception(&self) -> Option<Error> {
        self.completion().error()
    }

    /// Waits for the end, as `await` does, and copies the value.
    #[track_caller]
    pub fn shared(&self) -> Join<T>
    where
        T: Clone,
    {
        Join::new(self.completes(), Completion::copy, Location::caller())
    }

    /// Has `function` called, in a later turn, when the task has ended; if it has, in the next.
    pub fn add_done_callback(&self, function: impl FnOnce(&Task<T>) + 'static) -> CallbackId {
        let task = Rc::downgrade(&self.inner);
        let call = Waiter::Call(Box::new(move || {
            let task = Task { inner: task.upgrade()? };
            Some(CallCell::new(move || function(&task)))
        }));
        CallbackId(self.completion().tell(self.inner.core(), call))
    }

    /// Takes a callback back; false if it was called or is about to be.
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        self.completion().forget(id.0)
    }

    /// What is to be seen of the task at this moment.
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(&*self.inner)
    }

    /// How long ago the task was made, by the loop's clock, as of the loop's last look at it.
    pub fn age(&self) -> Duration {
        self.info().age
    }
}

/// Which callback of a task or future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallbackId(pub(crate) u64);

impl<T: 'static> Clone for Task<T> {
    fn clone(&self) -> Self {
        Task { inner: Rc::clone(&self.inner) }
    }
}

impl<T: 'static> PartialEq for Task<T> {
    /// Whether both are handles of one task.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl<T: 'static> Eq for Task<T> {}

impl<T: 'static> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.info())
    }
}

impl<T: 'static> IntoFuture for Task<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;

    #[track_caller]
    fn into_future(self) -> Join<T> {
        Join::new(self.inner, Completion::take, Location::caller())
    }
}

impl<T: 'static> IntoFuture for &Task<T> {
    type Output = Result<T>;
    type IntoFuture = Join<T>;

    #[track_caller]
    fn into_future(self) -> Join<T> {
        Join::new(self.completes(), Completion::take, Location::caller())
    }
}
