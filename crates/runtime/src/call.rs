//! Calls that the user asked for: soon, later, at some time.
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use boros_reactor::Time;

use crate::core::Core;

/// A function to be called once, unless it is cancelled before.
pub(crate) trait Callable {
    fn call(&self);
    /// Answers whether the call was waiting for its time.
    fn cancel(&self) -> bool;
    fn is_cancelled(&self) -> bool;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Among the timers.
    Timed,
    /// To be called in this turn or the next.
    Ready,
    Called,
    Cancelled,
}

pub(crate) struct CallCell<F> {
    function: RefCell<Option<F>>,
    state: Cell<State>,
}

impl<F: FnOnce() + 'static> CallCell<F> {
    #[allow(clippy::new_ret_no_self)]
    pub(crate) fn new(function: F) -> Rc<dyn Callable> {
        Rc::new(CallCell { function: RefCell::new(Some(function)), state: Cell::new(State::Ready) })
    }

    pub(crate) fn timed(function: F) -> Rc<dyn Callable> {
        Rc::new(CallCell { function: RefCell::new(Some(function)), state: Cell::new(State::Timed) })
    }
}

impl<F: FnOnce()> Callable for CallCell<F> {
    fn call(&self) {
        let function = self.function.borrow_mut().take();
        if let Some(function) = function {
            self.state.set(State::Called);
            function();
        }
    }

    fn cancel(&self) -> bool {
        let before = self.state.get();
        if matches!(before, State::Timed | State::Ready) {
            self.state.set(State::Cancelled);
            let function = self.function.borrow_mut().take();
            drop(function);
        }
        before == State::Timed
    }

    fn is_cancelled(&self) -> bool {
        self.state.get() == State::Cancelled
    }
}

/// A call that was asked for by [`call_soon`](crate::LoopHandle::call_soon). Dropping it changes nothing.
#[derive(Clone)]
pub struct Handle(pub(crate) Rc<dyn Callable>);

impl Handle {
    /// Cancels the call, if it has not been made; what the function owns is dropped.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether the call was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// A call that was asked for by [`call_later`](crate::LoopHandle::call_later) or
/// [`call_at`](crate::LoopHandle::call_at). Dropping it changes nothing.
#[derive(Clone)]
pub struct TimerHandle {
    pub(crate) core: Rc<Core>,
    pub(crate) call: Rc<dyn Callable>,
    pub(crate) when: Time,
}

impl TimerHandle {
    /// Cancels the call, if it has not been made; what the function owns is dropped.
    pub fn cancel(&self) {
        self.core.cancel_call(&self.call);
    }

    /// Whether the call was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// When the call is due, by the loop's clock.
    pub fn when(&self) -> Time {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}
