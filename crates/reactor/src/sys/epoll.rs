//! Linux: epoll, with timeouts finer than a millisecond (`epoll_pwait2`, Linux 5.11).
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;

use crate::interest::{Interest, Readiness};
use crate::poller::Event;

/// As many as are fetched at once; what is left over is reported by the next wait.
const CAPACITY: usize = 1024;

pub(crate) struct EventBuffer {
    slots: Box<[MaybeUninit<epoll::Event>]>,
    filled: usize,
}

// SAFETY: plain data. An event's user data could be a pointer; here it is always the token, a number.
unsafe impl Send for EventBuffer {}
// SAFETY: as above, and nothing in it can change behind a shared reference.
unsafe impl Sync for EventBuffer {}

impl Default for EventBuffer {
    fn default() -> Self {
        EventBuffer { slots: Box::new_uninit_slice(CAPACITY), filled: 0 }
    }
}

impl std::fmt::Debug for EventBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl EventBuffer {
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.slots[..self.filled].iter().map(|slot| {
            // SAFETY: the kernel wrote the first `filled` slots in the last wait.
            let event = unsafe { slot.assume_init() };
            let flags = event.flags;
            let data = event.data;
            let both = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            Event {
                token: data.u64(),
                readiness: Readiness {
                    readable: both || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                    writable: both || flags.intersects(EventFlags::OUT),
                },
            }
        })
    }
}

#[derive(Debug)]
pub(crate) struct Selector(OwnedFd);

impl Selector {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Selector(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.0, borrow(fd), EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.0, borrow(fd), EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, borrow(fd))?)
    }

    pub(crate) fn wait(
        &self,
        buffer: &mut EventBuffer,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        buffer.filled = 0;
        // The kernel takes any non-negative i64 of seconds.
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let (ready, _) = epoll::wait(&self.0, &mut *buffer.slots, timeout.as_ref())?;
        buffer.filled = ready.len();
        Ok(())
    }
}

fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: not -1 (the poller checks), and only handed to epoll_ctl, which answers EBADF for a number
    // that is not open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    if interest.read {
        flags |= EventFlags::IN;
    }
    if interest.write {
        flags |= EventFlags::OUT;
    }
    flags
}
