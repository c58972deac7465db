//! A socket's readiness, as the loop knows it.
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use boros_reactor::Direction;

use crate::core::Core;
use crate::job::{Job, Target};
use crate::wait::{Wait, WaitsFor, WakeRef};
use crate::waiters::Waiters;

struct Side {
    /// As far as is known, the next operation will not block.
    ready: Cell<bool>,
    /// The poller tells us when it is.
    watched: Cell<bool>,
    waiters: RefCell<Waiters<WakeRef>>,
}

impl Side {
    fn new() -> Self {
        Side {
            ready: Cell::new(true),
            watched: Cell::new(false),
            waiters: RefCell::new(Waiters::default()),
        }
    }
}

/// Registered with the poller from the first wait on, until it is found ready with nobody waiting: an exchange of messages
/// registers once.
pub(crate) struct Source {
    fd: RawFd,
    core: Rc<Core>,
    read: Side,
    write: Side,
}

impl Source {
    pub(crate) fn new(core: Rc<Core>, fd: RawFd) -> Rc<Self> {
        Rc::new(Source { fd, core, read: Side::new(), write: Side::new() })
    }

    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// The poller has found it ready. Runs no foreign code.
    #[inline]
    pub(crate) fn ready_job(self: &Rc<Self>, direction: Direction) -> Job {
        let side = self.side(direction);
        side.ready.set(true);
        let mut waiters = side.waiters.borrow_mut();
        match waiters.take_only() {
            Some(WakeRef::Task(task)) if task.header().schedule() => Job::Task(task),
            Some(WakeRef::Task(_)) => Job::Nothing,
            Some(WakeRef::Waker(waker)) => Job::Wake(waker),
            None => {
                drop(waiters);
                Job::Ready(Rc::clone(self), direction)
            }
        }
    }

    /// Wakes all who wait; with nobody waiting the poller need not tell any more.
    pub(crate) fn wake(&self, direction: Direction) {
        let side = self.side(direction);
        let waiters = {
            let mut waiters = side.waiters.borrow_mut();
            (!waiters.is_empty()).then(|| waiters.take())
        };
        match waiters {
            Some(waiters) => waiters.for_each(WakeRef::wake),
            None if side.ready.get() => self.unwatch(direction),
            None => {}
        }
    }

    fn watch(self: &Rc<Self>, direction: Direction) -> io::Result<()> {
        let side = self.side(direction);
        if side.watched.get() {
            return Ok(());
        }
        let target = Target::Source(Rc::clone(self));
        let result = self.core.engine.borrow_mut().watch(self.fd, direction, target);
        match result {
            Ok(_) => {
                side.watched.set(true);
                Ok(())
            }
            Err((error, _)) => Err(error),
        }
    }

    fn unwatch(&self, direction: Direction) {
        if self.side(direction).watched.replace(false) {
            let target = self.core.engine.borrow_mut().unwatch(self.fd, direction);
            drop(target);
        }
    }

    /// The next operation would block.
    #[inline]
    pub(crate) fn exhausted(&self, direction: Direction) {
        self.side(direction).ready.set(false);
    }

    /// The descriptor is about to be closed. Who still waits is woken, and finds the error.
    pub(crate) fn release(&self) {
        for direction in [Direction::Read, Direction::Write] {
            self.unwatch(direction);
            let side = self.side(direction);
            side.ready.set(true);
            let waiters = side.waiters.borrow_mut().take();
            waiters.for_each(WakeRef::wake);
        }
    }

    /// Runs `operation` when the socket is ready, again and again until it does not answer `WouldBlock`. `complete` tells
    /// from the result whether the socket has more to give, so that the next operation need not wait.
    #[inline]
    pub(crate) fn poll<R>(
        self: &Rc<Self>,
        cx: &Context<'_>,
        direction: Direction,
        wait: &mut IoWait,
        at: &'static Location<'static>,
        mut operation: impl FnMut() -> io::Result<R>,
        more: impl FnOnce(&R) -> bool,
    ) -> Poll<io::Result<R>> {
        if let Some(cancelled) = wait.wait.interrupted() {
            wait.end(self, direction);
            return Poll::Ready(Err(cancelled.into()));
        }
        let side = self.side(direction);
        while side.ready.get() {
            match operation() {
                Ok(result) => {
                    side.ready.set(more(&result));
                    wait.end(self, direction);
                    return Poll::Ready(Ok(result));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => side.ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    wait.end(self, direction);
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.suspend(cx, direction, wait, at)
    }

    fn suspend<R>(
        self: &Rc<Self>,
        cx: &Context<'_>,
        direction: Direction,
        wait: &mut IoWait,
        at: &'static Location<'static>,
    ) -> Poll<io::Result<R>> {
        let reason = || match direction {
            Direction::Read => WaitsFor::Readable(self.fd),
            Direction::Write => WaitsFor::Writable(self.fd),
        };
        let wake = match wait.wait.suspend(cx, at, reason, || None) {
            Ok(wake) => wake,
            Err(cancelled) => {
                wait.end(self, direction);
                return Poll::Ready(Err(cancelled.into()));
            }
        };
        if let Err(error) = self.watch(direction) {
            wait.end(self, direction);
            return Poll::Ready(Err(error));
        }
        let replaced = {
            let mut waiters = self.side(direction).waiters.borrow_mut();
            let wake = match wait.key {
                Some(key) => waiters.replace(key, wake),
                None => Err(wake),
            };
            match wake {
                Ok(before) => Some(before),
                Err(wake) => {
                    wait.key = Some(waiters.add(wake));
                    None
                }
            }
        };
        drop(replaced);
        Poll::Pending
    }
}

/// The wait of one operation on a source.
#[derive(Default)]
pub(crate) struct IoWait {
    wait: Wait,
    key: Option<u64>,
}

impl IoWait {
    pub(crate) const fn new() -> Self {
        IoWait { wait: Wait::new(), key: None }
    }

    #[inline]
    pub(crate) fn end(&mut self, source: &Source, direction: Direction) {
        self.wait.end();
        if let Some(key) = self.key.take() {
            let waiter = source.side(direction).waiters.borrow_mut().remove(key);
            drop(waiter);
        }
    }
}
