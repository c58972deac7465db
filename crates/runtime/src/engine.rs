//! What one loop owns: ready queue, timers, waiting descriptors, inbox.
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use boros_reactor::{Clock, Direction, Events, Interest, Poller, Registry, Time, Timers, Waker};

use crate::face::Kinds;
use crate::inbox::Inbox;

/// Never a descriptor's token: those carry the descriptor in their lower half.
const WAKER_TOKEN: u64 = u64::MAX;

/// The state of one event loop. It decides what runs next and runs nothing itself: see [`crate::turn`].
///
/// Methods that remove something hand it out instead of dropping it, since dropping may run foreign code and
/// the engine is borrowed at that moment.
pub struct Engine<K: Kinds> {
    pub(crate) ready: VecDeque<K::Job>,
    pub(crate) timers: Timers<K::Timer>,
    pub(crate) registry: Registry<K::Target>,
    pub(crate) events: Option<Events>,
    pub(crate) poller: Arc<Poller>,
    pub(crate) inbox: Arc<Inbox<K::Remote>>,
    pub(crate) clock: Clock,
    pub(crate) stopping: bool,
    /// How many of the waiting descriptors are the loop's own, and may be noticed a little later.
    pub(crate) quiet: usize,
    /// Turns since the poller was last asked.
    pub(crate) skipped: u32,
    pub(crate) last_poll: Time,
}

/// What was in an engine that was emptied.
pub struct Contents<K: Kinds> {
    /// The jobs that were ready.
    pub ready: VecDeque<K::Job>,
    /// The queued timers.
    pub timers: Vec<K::Timer>,
    /// Who waited for a descriptor.
    pub targets: Vec<K::Target>,
}

impl<K: Kinds> Engine<K> {
    /// An engine with nothing to do.
    ///
    /// # Errors
    /// The system's, for instance when the process has no descriptor left.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let poller = Poller::new()?;
        let waker = Waker::new()?;
        poller.add(waker.fileno(), WAKER_TOKEN, Interest::READ)?;
        Ok(Engine {
            ready: VecDeque::new(),
            timers: Timers::new(),
            registry: Registry::new(),
            events: Some(Events::new()),
            poller: Arc::new(poller),
            inbox: Arc::new(Inbox::new(waker)),
            clock,
            stopping: false,
            quiet: 0,
            skipped: 0,
            last_poll: Time::default(),
        })
    }

    /// The loop's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has the loop go by another clock. What is queued keeps its deadlines.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The way in from other threads.
    pub fn inbox(&self) -> &Arc<Inbox<K::Remote>> {
        &self.inbox
    }

    /// The descriptor of the poller.
    pub fn poller_fileno(&self) -> RawFd {
        self.poller.fileno()
    }

    /// Puts `job` at the end of the ready queue.
    #[inline]
    pub fn push(&mut self, job: K::Job) {
        self.ready.push_back(job);
    }

    /// Takes the first job of the ready queue.
    #[inline]
    pub fn pop(&mut self) -> Option<K::Job> {
        self.ready.pop_front()
    }

    /// The jobs that are ready, in order.
    pub fn ready(&self) -> impl ExactSizeIterator<Item = &K::Job> {
        self.ready.iter()
    }

    /// Moves what other threads handed in to the ready queue.
    pub fn drain_inbox(&mut self) {
        self.inbox.drain_into(&mut self.ready, K::received);
    }

    /// Adds a timer that is due at `when`.
    pub fn push_timer(&mut self, when: Time, timer: K::Timer) {
        self.timers.push(when, timer);
    }

    /// Notes that one of the queued timers was cancelled, and hands out those that are dead once there are
    /// many of them.
    pub fn timer_cancelled(&mut self) -> Vec<K::Timer> {
        if self.timers.cancelled() { self.timers.compact(K::is_cancelled) } else { Vec::new() }
    }

    /// The queued timers in no particular order, cancelled ones included.
    pub fn timers(&self) -> impl Iterator<Item = &K::Timer> {
        self.timers.iter()
    }

    /// Lets `target` wait for `fd`, and hands out who waited before.
    ///
    /// # Errors
    /// The system's; nothing has changed then, and `target` is handed back.
    pub fn watch(
        &mut self,
        fd: RawFd,
        direction: Direction,
        target: K::Target,
    ) -> Result<Option<K::Target>, (io::Error, K::Target)> {
        self.registry.set(&self.poller, fd, direction, target)
    }

    /// Says how many of the descriptors waited for are the loop's own (for signals). While there are only
    /// those, a busy loop asks the kernel less often.
    pub fn set_quiet(&mut self, descriptors: usize) {
        self.quiet = descriptors;
    }

    /// Ends the wait for `fd` and hands out who waited.
    pub fn unwatch(&mut self, fd: RawFd, direction: Direction) -> Option<K::Target> {
        self.registry.remove(&self.poller, fd, direction)
    }

    /// Who waits for `fd`.
    pub fn watcher(&self, fd: RawFd, direction: Direction) -> Option<&K::Target> {
        self.registry.get(fd, direction)
    }

    /// Everybody who waits for a descriptor.
    pub fn watchers(&self) -> impl Iterator<Item = &K::Target> {
        self.registry.iter()
    }

    /// Asks the loop to end after the turn under way.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the loop was asked to end, and takes the request back.
    pub fn take_stop(&mut self) -> bool {
        std::mem::take(&mut self.stopping)
    }

    /// Whether the loop was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Empties the engine for good; what was in it is handed out to be dropped by the caller.
    pub fn clear(&mut self) -> Contents<K> {
        self.drain_inbox();
        Contents {
            ready: std::mem::take(&mut self.ready),
            timers: self.timers.take_all(),
            targets: self.registry.take_all(),
        }
    }
}
