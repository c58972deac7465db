//! The face of the operating system's readiness queue.
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::interest::{Interest, Readiness};
use crate::sys;

/// One descriptor that was found ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token that the descriptor was registered with.
    pub token: u64,
    /// What it is ready for.
    pub readiness: Readiness,
}

/// A buffer that [`Poller::wait`] fills.
#[derive(Debug, Default)]
pub struct Events(sys::EventBuffer);

impl Events {
    /// An empty buffer.
    pub fn new() -> Self {
        Events::default()
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.0.iter()
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the last wait brought none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A set of registered descriptors, level-triggered. May be used from several threads at once.
#[derive(Debug)]
pub struct Poller(sys::Selector);

impl Poller {
    /// A new, empty set.
    ///
    /// # Errors
    /// The system's, for instance when the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        sys::Selector::new().map(Poller)
    }

    /// The descriptor of the set itself.
    pub fn fileno(&self) -> RawFd {
        self.0.fileno()
    }

    /// Starts to watch `fd`. The caller keeps it open, or accepts that a closed one falls out silently.
    ///
    /// # Errors
    /// `EEXIST` when it is registered, `EBADF` when it is not open, `EPERM` when it cannot be waited for.
    pub fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.0.add(check(fd)?, token, interest)
    }

    /// Changes what is watched of `fd`.
    ///
    /// # Errors
    /// `ENOENT` when it is not registered (any more), `EBADF` when it is not open.
    pub fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.0.modify(check(fd)?, token, interest)
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    /// `ENOENT` when it is not registered (any more), `EBADF` when it is not open.
    pub fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.0.delete(check(fd)?)
    }

    /// Waits until a descriptor is ready or `timeout` has passed (`None`: for ever), and fills `events`.
    ///
    /// # Errors
    /// `EINTR` ([`io::ErrorKind::Interrupted`]) when a signal arrived; `events` is empty then.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.0.wait(&mut events.0, timeout)
    }
}

fn check(fd: RawFd) -> io::Result<RawFd> {
    if fd < 0 { Err(rustix::io::Errno::BADF.into()) } else { Ok(fd) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn wait(poller: &Poller) -> Vec<Event> {
        let mut events = Events::new();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().collect()
    }

    #[test]
    fn readiness_is_reported_until_it_is_consumed() {
        let poller = Poller::new().unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        poller.add(b.as_raw_fd(), 7, Interest::READ).unwrap();
        assert_eq!(wait(&poller), []);
        a.write_all(b"x").unwrap();
        let readable = Event { token: 7, readiness: Readiness { readable: true, writable: false } };
        assert_eq!(wait(&poller), [readable]);
        assert_eq!(wait(&poller), [readable], "level-triggered");
    }

    #[test]
    fn a_hang_up_counts_as_readable_and_writable() {
        let poller = Poller::new().unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        poller.add(b.as_raw_fd(), 1, Interest::READ).unwrap();
        drop(a);
        assert_eq!(wait(&poller)[0].readiness, Readiness { readable: true, writable: true });
    }

    #[test]
    fn a_wait_ends_in_time_and_not_before() {
        let poller = Poller::new().unwrap();
        let clock = crate::Clock::monotonic();
        for micros in [1, 300, 2_500] {
            let timeout = Duration::from_micros(micros);
            let start = clock.now();
            poller.wait(&mut Events::new(), Some(timeout)).unwrap();
            assert!(clock.now().since(start) >= timeout);
        }
    }

    #[test]
    fn interest_can_be_changed_and_taken_back() {
        let poller = Poller::new().unwrap();
        let (_a, b) = UnixStream::pair().unwrap();
        poller.add(b.as_raw_fd(), 1, Interest::READ).unwrap();
        poller.modify(b.as_raw_fd(), 2, Interest::WRITE).unwrap();
        assert_eq!(wait(&poller)[0].token, 2);
        poller.delete(b.as_raw_fd()).unwrap();
        assert_eq!(wait(&poller), []);
        let error = poller.delete(b.as_raw_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn bad_descriptors_are_errors() {
        let poller = Poller::new().unwrap();
        for fd in [-1, RawFd::MAX] {
            let error = poller.add(fd, 0, Interest::READ).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
        }
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let error = poller.add(file.as_raw_fd(), 0, Interest::READ).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
