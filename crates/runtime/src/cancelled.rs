//! The cancellation of a task, raised where it waits.
use std::fmt;
use std::io;
use std::sync::Arc;

/// The task was asked to end: asyncio's `CancelledError`.
///
/// Everything of this crate that waits answers with it when the task that waits is cancelled: as itself, in an
/// [`Error`](crate::Error), or in an [`io::Error`] for what reads and writes. Pass it on with `?`, after cleaning up if need
/// be; the clean-up may await. The guide to cancellation is at the [crate's root](crate#cancellation).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cancelled {
    message: Option<Arc<str>>,
}

impl Cancelled {
    /// With the message that was given to [`Task::cancel_with`](crate::Task::cancel_with).
    pub(crate) fn new(message: Option<Arc<str>>) -> Self {
        Cancelled { message }
    }

    /// Why the task was cancelled, if the one who did it said so.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Whether an I/O error is a cancellation.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            None => f.write_str("cancelled"),
            Some(message) => write!(f, "cancelled: {message}"),
        }
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    /// Not of the kind `Interrupted`: readers and writers try again after that.
    fn from(cancelled: Cancelled) -> Self {
        io::Error::other(cancelled)
    }
}
