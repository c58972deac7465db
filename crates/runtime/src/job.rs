//! What the queue of the Rust face holds: a closed set of jobs.
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use boros_reactor::{Direction, Readiness};

use crate::alarm::Alarm;
use crate::call::Callable;
use crate::face::Kinds;
use crate::source::Source;
use crate::task_object::TaskObject;
use crate::wait::WakeRef;
use crate::waker::Node;
use crate::watch::Watch;

/// One thing to run.
pub(crate) enum Job {
    /// Step a task.
    Task(Rc<dyn TaskObject>),
    /// Call what `call_soon` and its like were given.
    Call(Rc<dyn Callable>),
    /// Wake a future that is polled with a waker of its own.
    Wake(Waker),
    /// Tell those who wait for a socket.
    Ready(Rc<Source>, Direction),
    /// Call what `add_reader` or `add_writer` was given.
    Watched(Rc<Watch>),
    /// What came from another thread.
    Remote(Remote),
    /// Whoever this was for is queued already, or gone.
    Nothing,
}

/// What other threads hand in.
pub(crate) enum Remote {
    /// Wake a task.
    Wake(Arc<Node>),
    /// Call a function.
    Call(Box<dyn FnOnce() + Send>),
    /// A function in the executor has ended: deliver its result, and wake who waits for it.
    Finished(Box<dyn FnOnce() -> Option<Waker> + Send>),
}

/// Who waits for a descriptor.
pub(crate) enum Target {
    /// A socket.
    Source(Rc<Source>),
    /// What `add_reader` or `add_writer` was given.
    Watch(Rc<Watch>),
}

/// What is due at some time.
pub(crate) enum Timer {
    /// Somebody sleeps.
    Alarm(Rc<Alarm>),
    /// What `call_later` or `call_at` was given.
    Call(Rc<dyn Callable>),
}

/// The kinds of things that the Rust face queues.
pub(crate) struct RustKinds;

impl Kinds for RustKinds {
    type Job = Job;
    type Target = Target;
    type Timer = Timer;
    type Remote = Remote;

    #[inline]
    fn ready(target: &Target, _fd: RawFd, direction: Direction, _readiness: Readiness) -> Job {
        match target {
            Target::Source(source) => source.ready_job(direction),
            Target::Watch(watch) => Job::Watched(Rc::clone(watch)),
        }
    }

    #[inline]
    fn expired(timer: Timer) -> Result<Job, Timer> {
        match &timer {
            Timer::Alarm(alarm) if !alarm.is_cancelled() => Ok(match alarm.fire() {
                Some(WakeRef::Task(task)) if task.header().schedule() => Job::Task(task),
                Some(WakeRef::Waker(waker)) => Job::Wake(waker),
                _ => Job::Nothing,
            }),
            Timer::Call(call) if !call.is_cancelled() => Ok(Job::Call(Rc::clone(call))),
            _ => Err(timer),
        }
    }

    #[inline]
    fn is_cancelled(timer: &Timer) -> bool {
        match timer {
            Timer::Alarm(alarm) => alarm.is_cancelled(),
            Timer::Call(call) => call.is_cancelled(),
        }
    }

    fn received(remote: Remote) -> Job {
        Job::Remote(remote)
    }
}
