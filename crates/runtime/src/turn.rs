//! One pass of the loop.
use std::io;
use std::sync::Arc;
use std::time::Duration;

use boros_reactor::{Direction, Events, Poller, Time};

use crate::engine::Engine;
use crate::face::{Face, Kinds};
use crate::inbox::Inbox;

/// While jobs are ready, a look at the poller can wait this long …
const MAX_POLL_DELAY: Duration = Duration::from_micros(50);
/// … and this many turns, …
const MAX_SKIPPED_TURNS: u32 = 64;
/// … or this many while only the loop's own descriptors are waited for.
const MAX_QUIET_TURNS: u32 = 512;
/// No wait is longer, so that a clock that was moved, or a bug in waking, shows up within a day.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How a turn begins.
enum Begin<K: Kinds> {
    /// With running this job and then as many more.
    Run(K::Job, usize),
    /// With queueing the timers that are due, and then running all jobs that are ready.
    Expire,
    /// With a wait.
    Wait(Wait<K>),
}

/// A wait to be done.
struct Wait<K: Kinds> {
    poller: Arc<Poller>,
    inbox: Arc<Inbox<K::Remote>>,
    events: Events,
    timeout: Option<Duration>,
    /// Whether others were told to wake this thread. If not, there is no wake-up to be swallowed.
    wakeable: bool,
}

/// One pass: take in what other threads sent, wait for readiness (not at all when jobs are ready), queue the
/// jobs of ready descriptors, then those of expired timers, and run the jobs that are queued by then. What
/// they queue waits for the next turn.
///
/// # Errors
/// The first error of a job; the jobs behind it stay queued. Or that of the wait.
pub fn turn<F: Face>(face: &F) -> Result<(), F::Error> {
    let count = match face.with(Engine::begin) {
        Begin::Run(job, more) => {
            face.run(job)?;
            more
        }
        Begin::Expire => expire(face),
        Begin::Wait(mut wait) => {
            let result = face.wait(&wait.poller, &mut wait.events, wait.timeout);
            if wait.wakeable {
                wait.inbox.waker().finish();
            }
            let result = match result {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(face.failed(error)),
                _ => Ok(()),
            };
            face.with(|engine| engine.dispatch(wait.events));
            result?;
            face.interrupted()?;
            expire(face)
        }
    };
    for _ in 0..count {
        let Some(job) = face.with(Engine::pop) else { break };
        face.run(job)?;
    }
    Ok(())
}

/// Queues the jobs of the timers that are due, and answers how many jobs are ready then.
fn expire<F: Face>(face: &F) -> usize {
    // The cancelled timers go when the engine has been given back.
    let (count, _dead) = face.with(Engine::expire);
    count
}

impl<K: Kinds> Engine<K> {
    /// Decides how the turn begins.
    #[inline]
    fn begin(&mut self) -> Begin<K> {
        self.drain_inbox();
        if (!self.ready.is_empty() || self.stopping) && self.may_skip_poll() {
            if self.timers.is_empty()
                && let Some(job) = self.ready.pop_front()
            {
                return Begin::Run(job, self.ready.len());
            }
            return Begin::Expire;
        }
        Begin::Wait(self.prepare())
    }

    #[inline(never)]
    fn prepare(&mut self) -> Wait<K> {
        let wakeable = self.ready.is_empty() && !self.stopping;
        let timeout = if wakeable {
            self.skipped = 0;
            // Whoever sends from now on wakes us; what came in before is seen below.
            self.inbox.waker().prepare();
            self.timeout()
        } else {
            Some(Duration::ZERO)
        };
        Wait {
            poller: Arc::clone(&self.poller),
            inbox: Arc::clone(&self.inbox),
            events: self.events.take().unwrap_or_default(),
            timeout,
            wakeable,
        }
    }

    /// How long the wait may be by what there is to do now; without a limit if there is nothing.
    pub fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.stopping || self.inbox.is_filled() {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|when| when.since(self.clock.now()).min(MAX_WAIT))
    }

    /// Asking the kernel costs more than a short job. While there are jobs it is asked at intervals, which
    /// bounds how late readiness is noticed; with no descriptor waiting there is little to notice.
    #[inline]
    fn may_skip_poll(&mut self) -> bool {
        self.skipped += 1;
        if self.registry.len() <= self.quiet {
            if self.skipped < MAX_QUIET_TURNS {
                return true;
            }
        } else if self.skipped < MAX_SKIPPED_TURNS {
            let now = self.clock.now();
            if now.since(self.last_poll) < MAX_POLL_DELAY {
                return true;
            }
            self.last_poll = now;
        }
        self.skipped = 0;
        false
    }

    /// Queues the jobs of the descriptors that were found ready.
    fn dispatch(&mut self, events: Events) {
        for event in events.iter() {
            let Some(resolved) = self.registry.resolve(event) else { continue };
            let jobs = [
                resolved.reader.map(|target| (target, Direction::Read)),
                resolved.writer.map(|target| (target, Direction::Write)),
            ];
            for (target, direction) in jobs.into_iter().flatten() {
                self.ready.push_back(K::ready(target, resolved.fd, direction, event.readiness));
            }
        }
        self.events = Some(events);
        self.drain_inbox();
    }

    /// Queues the jobs of the timers that are due. Answers how many jobs this turn runs, and the cancelled
    /// timers that were in the way.
    fn expire(&mut self) -> (usize, Vec<K::Timer>) {
        let mut dead = Vec::new();
        if self.timers.is_empty() {
            return (self.ready.len(), dead);
        }
        // The clock's resolution: a timer that is due within it is due.
        let now = Time::from_nanos(self.clock.now().as_nanos().saturating_add(1));
        while let Some(timer) = self.timers.pop_due(now) {
            match K::expired(timer) {
                Ok(job) => self.ready.push_back(job),
                Err(timer) => {
                    self.timers.popped_cancelled();
                    dead.push(timer);
                }
            }
        }
        (self.ready.len(), dead)
    }
}
