//! hyper's timers, by the loop's clock.
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use boros_reactor::Time;
use hyper::rt::{Sleep, Timer};

use crate::call::Callable;
use crate::running;

/// Has hyper's limits of time run by the clock of the loop that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct HyperTimer;

impl Timer for HyperTimer {
    fn sleep(&self, delay: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(HyperSleep { delay, begun: None })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        running::with_core(|core| {
            let (instant, time) = *core.hyper_timers.origin.get_or_init(|| {
                // hyper's deadlines are the system's instants: from one of them on, they follow the loop's clock.
                #[allow(clippy::disallowed_methods)]
                let instant = Instant::now();
                (instant, core.clock.now())
            });
            instant + core.clock.now().since(time)
        })
        .unwrap_or_else(|| {
            // Outside of a loop there is no other clock.
            #[allow(clippy::disallowed_methods)]
            Instant::now()
        })
    }
}

/// hyper wants its timers to be `Send`, which what a loop queues is not: the loop keeps that, by number.
#[derive(Default)]
pub(crate) struct HyperTimers {
    calls: RefCell<HashMap<u64, Rc<dyn Callable>>>,
    next: Cell<u64>,
    /// One point in time, by both clocks.
    origin: OnceCell<(Instant, Time)>,
}

#[derive(Default)]
struct State {
    over: bool,
    waker: Option<Waker>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing that could panic happens under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct HyperSleep {
    delay: Duration,
    begun: Option<Begun>,
}

struct Begun {
    state: Arc<Mutex<State>>,
    loop_id: u64,
    number: u64,
}

impl Sleep for HyperSleep {}

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun.is_none() {
            self.begun = begin(self.delay);
        }
        // Outside of a loop nothing could be read either.
        let Some(begun) = &self.begun else { return Poll::Pending };
        let mut state = lock(&begun.state);
        if state.over {
            return Poll::Ready(());
        }
        let before = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

fn begin(delay: Duration) -> Option<Begun> {
    let core = running::core().ok()?;
    let timers = &core.hyper_timers;
    let number = timers.next.get();
    timers.next.set(number + 1);
    let state = Arc::new(Mutex::new(State::default()));
    let told = Arc::clone(&state);
    let call = core.call_at(core.clock.now().after(delay), move || {
        let _ = running::with_core(|core| core.hyper_timers.calls.borrow_mut().remove(&number));
        let waker = {
            let mut state = lock(&told);
            state.over = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    timers.calls.borrow_mut().insert(number, call);
    Some(Begun { state, loop_id: core.id, number })
}

impl Drop for HyperSleep {
    fn drop(&mut self) {
        let Some(begun) = &self.begun else { return };
        // In another thread, or after the loop: the call comes to nobody.
        running::with_core(|core| {
            if core.id == begun.loop_id {
                let call = core.hyper_timers.calls.borrow_mut().remove(&begun.number);
                if let Some(call) = call {
                    core.cancel_call(&call);
                }
            }
        });
    }
}
