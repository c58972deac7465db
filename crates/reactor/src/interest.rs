//! What one waits for on a descriptor, and what was found ready.
use std::ops::BitOr;

/// What to be told of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interest {
    /// When it can be read, or a connection accepted.
    pub read: bool,
    /// When it can be written, or a connection attempt has ended.
    pub write: bool,
}

impl Interest {
    /// Nothing.
    pub const NONE: Interest = Interest { read: false, write: false };
    /// Reading only.
    pub const READ: Interest = Interest { read: true, write: false };
    /// Writing only.
    pub const WRITE: Interest = Interest { read: false, write: true };

    /// Whether there is nothing to wait for.
    pub fn is_none(self) -> bool {
        self == Interest::NONE
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest { read: self.read | other.read, write: self.write | other.write }
    }
}

/// What a descriptor was found ready for. An error or a hang-up counts as both, since the next read or
/// write is what reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness {
    /// A read will not block.
    pub readable: bool,
    /// A write will not block.
    pub writable: bool,
}
