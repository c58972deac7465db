//! Linux: an eventfd that makes a selector's wait return.
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
pub(crate) struct Notifier(OwnedFd);

impl Notifier {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Notifier(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn notify(&self) {
        // The only error on a descriptor that we own is EAGAIN: the counter is full, so it is readable.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        // EAGAIN: nobody had notified.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}
