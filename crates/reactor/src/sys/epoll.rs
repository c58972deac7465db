//! Linux: epoll, with timeouts finer than a millisecond where the kernel has `epoll_pwait2` (5.11).
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
pub(crate) struct Selector {
    epoll: OwnedFd,
    /// The kernel, or a sandbox, has refused `epoll_pwait2`.
    coarse: AtomicBool,
}

impl Selector {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Selector { epoll, coarse: AtomicBool::new(false) })
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, borrow(fd), EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, borrow(fd), EventData::new_u64(token), flags(interest))?)
    }

    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, borrow(fd))?)
    }

    pub(crate) fn wait(
        &self,
        buffer: &mut EventBuffer,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        buffer.filled = 0;
        buffer.filled = match timeout {
            Some(timeout) if !timeout.is_zero() && !self.coarse.load(Relaxed) => {
                match self.wait_fine(&mut buffer.slots, timeout) {
                    // A sandbox may answer EPERM for what it does not know.
                    Err(error)
                        if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) =>
                    {
                        self.coarse.store(true, Relaxed);
                        self.wait_coarse(&mut buffer.slots, Some(timeout))?
                    }
                    other => other?,
                }
            }
            timeout => self.wait_coarse(&mut buffer.slots, timeout)?,
        };
        Ok(())
    }

    fn wait_fine(
        &self,
        slots: &mut [MaybeUninit<epoll::Event>],
        timeout: Duration,
    ) -> io::Result<usize> {
        let timeout = timespec(timeout);
        // SAFETY: the buffer is valid for as many events as is said, and the kernel's `epoll_event` is what
        // rustix's `Event` is laid out as; the timeout is a valid timespec; no signal mask is passed.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                slots.as_mut_ptr(),
                slots.len(),
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                size_of::<u64>(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn wait_coarse(
        &self,
        slots: &mut [MaybeUninit<epoll::Event>],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // Up to the next millisecond: a timer must not be asked about before it is due.
        let timeout = timeout.map(|timeout| {
            timespec(Duration::from_millis(timeout.as_nanos().div_ceil(1_000_000) as u64))
        });
        let (ready, _) = epoll::wait(&self.epoll, slots, timeout.as_ref())?;
        Ok(ready.len())
    }
}

/// The kernel takes any non-negative i64 of seconds.
fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
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
