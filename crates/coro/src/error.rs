//! What a body raises or is raised in, and the misuses that have a name.
use core::fmt;
use core::panic::Location;

/// An error on its way into a body (raised at its yield) or out of it (to whoever stepped it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error<E> {
    /// The program's own error, thrown by a caller or returned by a body.
    Raised(E),
    /// The request to end, Python's `GeneratorExit`: a body that meets it cleans up and passes it on or returns.
    Exit,
    /// The protocol was used in a way it does not allow; nothing was lost but the call.
    Misuse(Misuse),
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Raised(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised(error) => error.fmt(f),
            Self::Exit => f.write_str("the coroutine was asked to end"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Raised(error) => Some(error),
            Self::Exit => None,
            Self::Misuse(misuse) => Some(misuse),
        }
    }
}

/// A use of the protocol that it does not allow, with the place of the yield concerned where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misuse {
    kind: MisuseKind,
    at: Option<&'static Location<'static>>,
}

/// The misuses of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MisuseKind {
    /// A value was sent before the body reached a yield that could receive it.
    NotStarted,
    /// `start` or `yield_from` met a coroutine that had been started before.
    AlreadyStarted,
    /// It was stepped while its body was executing.
    AlreadyRunning,
    /// It was stepped after it had ended.
    Exhausted,
    /// The body was asked to end and yielded instead.
    IgnoredClose,
    /// The body waits for something that is no yield of its own, in a coroutine that nothing can wake.
    Stalled,
    /// A value was sent to a body that delegates to an iterator, which cannot receive one.
    SentToIterator,
    /// A value was sent to an async generator whose previous step was dropped before it ended.
    Interrupted,
}

impl Misuse {
    pub(crate) const fn new(kind: MisuseKind, at: Option<&'static Location<'static>>) -> Self {
        Self { kind, at }
    }

    /// Which misuse it is.
    #[must_use]
    pub const fn kind(&self) -> MisuseKind {
        self.kind
    }

    /// The yield at which the body waited, if it had come to one.
    #[must_use]
    pub const fn location(&self) -> Option<&'static Location<'static>> {
        self.at
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            MisuseKind::NotStarted => {
                "a value was sent to a coroutine that has not started: call start() or next() first"
            }
            MisuseKind::AlreadyStarted => {
                "the coroutine has started already: send it a value, or delegate with yield_from_with()"
            }
            MisuseKind::AlreadyRunning => {
                "the coroutine is executing already: step it from outside of its own body"
            }
            MisuseKind::Exhausted => "the coroutine has ended: make a new one",
            MisuseKind::IgnoredClose => {
                "the body yielded when asked to end: let Error::Exit pass, or return"
            }
            MisuseKind::Stalled => {
                "the body awaits something other than its own yields: make it an async generator"
            }
            MisuseKind::SentToIterator => {
                "a value was sent while the body delegates to an iterator, which cannot receive it: \
                 call next(), or delegate to a coroutine"
            }
            MisuseKind::Interrupted => {
                "the previous step of the async generator was dropped before it ended: finish it with anext()"
            }
        })?;
        let Some(at) = self.at else { return Ok(()) };
        let place = match self.kind {
            MisuseKind::Exhausted => "its last yield was at",
            _ => "at",
        };
        write!(f, " ({place} {}:{})", at.file(), at.line())
    }
}

impl core::error::Error for Misuse {}
