//! Ends a wait from another thread, with one system call per burst.
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::Notifier;

/// Wakes the thread that waits on a poller in which this waker's descriptor is registered for reading.
///
/// Protocol: the waiting thread calls [`Waker::prepare`], looks once more for work that has come in,
/// waits (or not), and calls [`Waker::finish`]. Any other thread puts its work where the waiting thread
/// looks and then calls [`Waker::wake`]; that costs a system call only while the other side waits.
#[derive(Debug)]
pub struct Waker {
    notifier: Notifier,
    /// The other side waits, or is about to, and nobody has woken it yet.
    waiting: AtomicBool,
}

impl Waker {
    /// A new waker.
    ///
    /// # Errors
    /// The system's, for instance when the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Waker { notifier: Notifier::new()?, waiting: AtomicBool::new(false) })
    }

    /// The descriptor to register for reading.
    pub fn fileno(&self) -> RawFd {
        self.notifier.fileno()
    }

    /// Wakes the other side if it waits. Any thread, never blocks.
    ///
    /// The work must have been put in its place by a sequentially consistent store, or under a lock that the
    /// other side holds when it calls [`Waker::prepare`] and looks for work.
    #[inline]
    pub fn wake(&self) {
        // A look first: it costs nothing, and mostly nobody waits.
        if self.waiting.load(Ordering::SeqCst) && self.waiting.swap(false, Ordering::SeqCst) {
            self.notifier.notify();
        }
    }

    /// Says that this thread is about to wait. Work that others put before this call must be looked for
    /// after it.
    pub fn prepare(&self) {
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// Says that the wait is over, and swallows a wake-up.
    pub fn finish(&self) {
        if !self.waiting.swap(false, Ordering::SeqCst) {
            self.notifier.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Events, Interest, Poller};

    #[test]
    fn a_wake_ends_a_wait_once() {
        let poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(waker.fileno(), 0, Interest::READ).unwrap();
        let mut events = Events::new();

        waker.prepare();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            poller.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
        });
        waker.finish();
        assert_eq!(events.len(), 1);

        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "the wake-up was swallowed");
    }

    #[test]
    fn a_wake_while_nobody_waits_costs_nothing() {
        let poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(waker.fileno(), 0, Interest::READ).unwrap();
        waker.wake();
        let mut events = Events::new();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }
}
