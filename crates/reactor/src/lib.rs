//! Readiness, time and wake-ups for an event loop. Knows no tasks and no Python.
//!
//! - [`Clock`] and [`Time`]: the only place where time is read, real or virtual.
//! - [`Poller`], [`Events`], [`Interest`], [`Readiness`]: which descriptors can be read or written.
//! - [`Registry`]: who waits for which descriptor, kept in step with the poller.
//! - [`Timers`]: deadlines in order, then in order of insertion.
//! - [`Waker`]: ends a wait from another thread.

mod clock;
mod interest;
mod poller;
mod registry;
mod sys;
mod timers;
mod waker;

pub use clock::{Clock, Time};
pub use interest::{Interest, Readiness};
pub use poller::{Event, Events, Poller};
pub use registry::{Direction, Registry, Resolved};
pub use timers::Timers;
pub use waker::Waker;
