//! The error that tasks and futures end with: any error, shared.
use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::cancelled::Cancelled;

/// What a task or a future ends with when it fails.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error. Cheap to clone, since whoever waits for a failed task or future is told the same error.
///
/// `?` makes one of every error that is `Send + Sync + 'static`; [`Error::downcast_ref`] gives it back. An error that *is*
/// [`Cancelled`], or was caused by it, counts as a cancellation: see [`Error::is_cancelled`].
#[derive(Clone)]
pub struct Error {
    inner: Arc<dyn StdError + Send + Sync>,
}

impl Error {
    /// An error that is only a message.
    pub fn msg(message: impl fmt::Display) -> Self {
        Error::from(Message(message.to_string()))
    }

    /// From an error that is boxed already.
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        Error { inner: error.into() }
    }

    /// The error of a panic, from what `catch_unwind` answered.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        Error::from(Panicked(text))
    }

    /// The error itself, or the first of its causes that is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        causes(&*self.inner).find_map(|error| error.downcast_ref::<E>())
    }

    /// Whether the error, or one of its causes, is an `E`.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// Whether this is a cancellation on its way out: [`Cancelled`], or an error that was caused by it, such as the I/O error
    /// of a read that was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.is::<Cancelled>()
    }

    /// Whether the two are one error, told twice.
    pub fn is_same(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The error as a trait object.
    pub fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.inner
    }
}

/// An error and its causes. The causes of an I/O error begin with what it was made of, which `source` leaves out.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error { inner: Arc::new(error) }
    }
}

/// What can be made an [`Error`]: the errors that `?` converts, and `Error` itself.
pub trait IntoError {
    /// The error.
    fn into_error(self) -> Error;
}

impl<E: StdError + Send + Sync + 'static> IntoError for E {
    fn into_error(self) -> Error {
        self.into()
    }
}

impl IntoError for Error {
    fn into_error(self) -> Error {
        self
    }
}

/// What a coroutine raised.
pub(crate) fn raised<E: IntoError>(error: boros_coro::Error<E>) -> Error {
    match error {
        boros_coro::Error::Raised(error) => error.into_error(),
        boros_coro::Error::Misuse(misuse) => misuse.into(),
        boros_coro::Error::Exit => Error::msg("the coroutine was asked to end"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl fmt::Debug for Error {
    /// The message and those of the causes, since this is what a `main` that fails prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)?;
        for cause in causes(&*self.inner).skip(1) {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}

/// A task panicked; the text is the panic's message.
#[derive(Debug, Clone)]
pub struct Panicked(pub String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl StdError for Panicked {}

/// A limit of time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl StdError for TimedOut {}

/// Something was asked of an object in a state that does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidState {
    /// The result was asked for before there was one.
    NotDone,
    /// A result or an exception was set a second time.
    AlreadyDone,
    /// The result was handed to another who awaited it.
    Taken,
    /// A task awaits itself.
    AwaitsItself,
    /// The loop is closed.
    Closed,
    /// The loop runs already.
    Running,
    /// Another loop runs in this thread.
    OtherLoop,
    /// No loop runs in this thread.
    NoLoop,
    /// The call is for a task only.
    NoTask,
    /// The loop was stopped before the future was done.
    Stopped,
    /// A task group was used before it was entered or after it has ended.
    GroupInactive,
    /// A lock, semaphore or condition was released by one who does not hold it.
    NotHeld,
}

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDone => "there is no result yet: await it",
            Self::AlreadyDone => "there is a result already: ask is_done() before setting one",
            Self::Taken => "the result was taken by another awaiter: have all of them use shared()",
            Self::AwaitsItself => "a task cannot await itself",
            Self::Closed => "the event loop is closed: make a new one",
            Self::Running => "the event loop is running already: create a task on it instead",
            Self::OtherLoop => {
                "another event loop is running in this thread: create a task on it instead"
            }
            Self::NoLoop => "no event loop is running in this thread: call this within boros::run",
            Self::NoTask => "no task is running: call this within boros::run or a task",
            Self::Stopped => "the event loop was stopped before the future was done",
            Self::GroupInactive => "the task group takes no more tasks: it is ending or has ended",
            Self::NotHeld => "it was released without being held",
        })
    }
}

impl StdError for InvalidState {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_recognised_through_what_wraps_it() {
        let io: io::Error = Cancelled::default().into();
        assert!(Error::from(io).is_cancelled());
        assert!(Error::from(Cancelled::default()).is_cancelled());
        assert!(!Error::from(io::Error::other("no")).is_cancelled());
        assert!(!Error::msg("no").is_cancelled());
    }

    #[test]
    fn the_cause_is_given_back_and_shared() {
        let error = Error::from(io::Error::from(io::ErrorKind::NotFound));
        let twin = error.clone();
        assert_eq!(twin.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
        assert!(error.is_same(&twin));
        assert!(twin.downcast_ref::<TimedOut>().is_none());
        let panic = std::panic::catch_unwind(|| std::panic::panic_any("text")).unwrap_err();
        assert_eq!(Error::panicked(&*panic).to_string(), "panicked: text");
    }
}
