//! Waiting for a point in time, or for nothing but the others' turn.
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use boros_reactor::Time;

use crate::alarm::Alarm;
use crate::cancelled::Cancelled;
use crate::core::Core;
use crate::job::{Job, Timer};
use crate::running;
use crate::wait::{Wait, WaitsFor};

enum Until {
    /// Counted from the first poll.
    Delay(Duration),
    Time(Time),
}

enum State {
    New(Until),
    /// A sleep of no time has given up its turn.
    Yielded,
    Asleep {
        alarm: Rc<Alarm>,
        core: Rc<Core>,
        until: Time,
    },
    Over,
}

/// The wait of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    state: State,
    wait: Wait,
    at: &'static Location<'static>,
}

/// Waits for `delay`, counted from the first poll. A delay of zero lets all others that are ready have their turn.
///
/// # Errors
/// [`Cancelled`], if the task is cancelled meanwhile; also, with a message that says so, when it is awaited outside of a loop
/// of this crate.
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    Sleep { state: State::New(Until::Delay(delay)), wait: Wait::new(), at: Location::caller() }
}

/// Waits until the loop's clock shows `when`.
///
/// # Errors
/// [`Cancelled`], if the task is cancelled meanwhile; also, with a message that says so, when it is awaited outside of a loop
/// of this crate.
#[track_caller]
pub fn sleep_until(when: Time) -> Sleep {
    Sleep { state: State::New(Until::Time(when)), wait: Wait::new(), at: Location::caller() }
}

/// Lets all others that are ready have their turn: `sleep` for no time.
///
/// # Errors
/// [`Cancelled`], if the task is cancelled meanwhile.
#[track_caller]
pub fn yield_now() -> Sleep {
    sleep(Duration::ZERO)
}

impl Sleep {
    fn end(&mut self) {
        if let State::Asleep { alarm, core, .. } = std::mem::replace(&mut self.state, State::Over)
            && alarm.cancel()
        {
            core.timer_cancelled();
        }
        self.wait.end();
    }

    fn fall_asleep(&mut self, cx: &Context<'_>, until: Time) -> Poll<Result<(), Cancelled>> {
        let wake = match self.wait.suspend(cx, self.at, || WaitsFor::Sleep(until), || None) {
            Ok(wake) => wake,
            Err(cancelled) => {
                self.end();
                return Poll::Ready(Err(cancelled));
            }
        };
        if let State::Asleep { alarm, .. } = &self.state {
            alarm.rewire(wake);
            return Poll::Pending;
        }
        let Ok(core) = running::core() else { return outside() };
        let alarm = Rc::new(Alarm::new(wake));
        core.engine.borrow_mut().push_timer(until, Timer::Alarm(Rc::clone(&alarm)));
        self.state = State::Asleep { alarm, core, until };
        Poll::Pending
    }

    #[inline]
    fn give_up_turn(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        let woken = running::with_task(|task| {
            let header = task.header();
            if let Some(cancelled) = header.take_cancel() {
                return Err(cancelled);
            }
            let own = header.with_waker(|waker| cx.waker().will_wake(waker)) == Some(true);
            if own && header.schedule() {
                header.core.push(Job::Task(Rc::clone(task)));
            }
            Ok(own)
        });
        match woken {
            Some(Err(cancelled)) => {
                self.state = State::Over;
                return Poll::Ready(Err(cancelled));
            }
            Some(Ok(true)) => {}
            _ => cx.waker().wake_by_ref(),
        }
        self.state = State::Yielded;
        Poll::Pending
    }
}

/// There is no clock to wait for.
#[cold]
fn outside() -> Poll<Result<(), Cancelled>> {
    let message = "sleep was awaited outside of a boros event loop: use boros::run";
    Poll::Ready(Err(Cancelled::new(Some(message.into()))))
}

impl Future for Sleep {
    type Output = Result<(), Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &this.state {
            State::New(Until::Delay(Duration::ZERO)) => this.give_up_turn(cx),
            State::New(until) => {
                let Ok(now) = running::core().map(|core| core.clock.now()) else {
                    return outside();
                };
                let until = match *until {
                    Until::Delay(delay) => now.after(delay),
                    Until::Time(when) if when <= now => return this.give_up_turn(cx),
                    Until::Time(when) => when,
                };
                this.fall_asleep(cx, until)
            }
            State::Yielded => {
                let cancelled = running::with_task(|task| task.header().take_cancel()).flatten();
                this.state = State::Over;
                Poll::Ready(cancelled.map_or(Ok(()), Err))
            }
            State::Asleep { alarm, until, .. } => {
                let (fired, until) = (alarm.has_fired(), *until);
                if let Some(cancelled) = this.wait.interrupted() {
                    this.end();
                    return Poll::Ready(Err(cancelled));
                }
                if fired {
                    this.end();
                    return Poll::Ready(Ok(()));
                }
                this.fall_asleep(cx, until)
            }
            State::Over => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Sleep");
        if let State::Asleep { until, .. } = &self.state {
            out.field("until", until);
        }
        out.finish_non_exhaustive()
    }
}
