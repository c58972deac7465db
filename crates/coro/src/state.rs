//! The four states of a generator or coroutine.
use core::fmt;

/// Where a generator or coroutine is in its life, as `inspect.getgeneratorstate` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, and not stepped yet: nothing of the body has run.
    Created,
    /// The body is executing right now.
    Running,
    /// The body waits at a yield.
    Suspended,
    /// The body has returned, raised, panicked or been closed.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        })
    }
}

/// What a frame's storage holds; the public [`State`] is read off it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// The body's function, not called yet.
    Created,
    /// The body's future. That it is being polled shows nowhere: whoever polls it holds the only way to look.
    Suspended,
    /// The result of a finished delegate, for the `yield_from` that waits for it.
    Finished,
    /// Nothing.
    Closed,
}

impl From<Stage> for State {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Created => Self::Created,
            Stage::Suspended => Self::Suspended,
            Stage::Finished | Stage::Closed => Self::Closed,
        }
    }
}
