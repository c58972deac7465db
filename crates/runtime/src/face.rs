//! What a face of the engine supplies.
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use boros_reactor::{Direction, Events, Poller, Readiness};

use crate::engine::Engine;

/// The things that an engine queues, in one face: a closed set of types.
pub trait Kinds: Sized {
    /// A thing to run.
    type Job;
    /// Who waits for a descriptor.
    type Target;
    /// A thing to do at a point in time.
    type Timer;
    /// What other threads hand in; the job itself where that can be sent.
    type Remote;

    /// The job of what another thread handed in.
    fn received(remote: Self::Remote) -> Self::Job;

    /// The job that tells `target` of its descriptor.
    fn ready(
        target: &Self::Target,
        fd: RawFd,
        direction: Direction,
        readiness: Readiness,
    ) -> Self::Job;

    /// The job of a timer that is due.
    ///
    /// # Errors
    /// The timer itself, if it was cancelled.
    fn expired(timer: Self::Timer) -> Result<Self::Job, Self::Timer>;

    /// Whether a timer was cancelled.
    fn is_cancelled(timer: &Self::Timer) -> bool;
}

/// One use of the engine: by Rust programs, or by Python programs.
///
/// The engine never runs foreign code while it is borrowed: [`Face::with`] lends it for a few instructions,
/// and jobs run when it has been given back.
pub trait Face {
    /// What the engine queues.
    type Kinds: Kinds;
    /// What ends a turn early, such as a `KeyboardInterrupt`.
    type Error;

    /// Lends the engine. `f` must not run foreign code.
    fn with<R>(&self, f: impl FnOnce(&mut Engine<Self::Kinds>) -> R) -> R;

    /// Waits on the poller; other threads may run meanwhile.
    ///
    /// If it runs foreign code before, which may have given the loop something to do, it waits no longer than
    /// [`Engine::timeout`] says afterwards.
    ///
    /// # Errors
    /// The poller's.
    fn wait(
        &self,
        poller: &Poller,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()>;

    /// Called after each wait: handles what signals left behind. A busy loop waits (for no time) at least
    /// every few dozen turns.
    ///
    /// # Errors
    /// What ends the turn early.
    fn interrupted(&self) -> Result<(), Self::Error>;

    /// Turns a failed wait into what ends the turn.
    fn failed(&self, error: io::Error) -> Self::Error;

    /// Runs one job to its end, and what must follow at once (such as flushing what it wrote).
    ///
    /// # Errors
    /// What ends the turn early. The jobs behind it stay queued.
    fn run(&self, job: <Self::Kinds as Kinds>::Job) -> Result<(), Self::Error>;
}
