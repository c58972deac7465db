//! Why a run does not count.

use std::fmt;
use std::io;
use std::time::Duration;

/// Anything that makes a run's figures worthless.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// A system call failed; the string says what was being done.
    Io(&'static str, io::Error),
    /// An answer differs from what was sent.
    Corrupted { connection: usize, request: u64, offset: usize },
    /// The server ended the connection in the middle of an answer.
    Short { connection: usize, request: u64, received: usize, expected: usize },
    /// The server sent bytes that nobody asked for.
    Unasked { connection: usize, request: u64 },
    /// Nothing moved for this long while answers were outstanding.
    Stalled(Duration),
}

impl Failure {
    /// Says what was being done when an I/O error came.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io(what, error)
    }

    /// Like [`Failure::io`], for the raw system calls' error numbers.
    pub(crate) fn errno(what: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::Io(what, errno.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what} (see boros-loadgen --help)"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Corrupted { connection, request, offset } => write!(
                f,
                "corrupted answer: connection {connection}, request {request}, byte {offset}"
            ),
            Self::Short { connection, request, received, expected } => write!(
                f,
                "short answer: connection {connection}, request {request}: \
                 end of stream after {received} of {expected} bytes"
            ),
            Self::Unasked { connection, request } => {
                write!(f, "unasked bytes: connection {connection}, after request {request}")
            }
            Self::Stalled(silence) => write!(f, "no answer for {silence:?}"),
        }
    }
}
