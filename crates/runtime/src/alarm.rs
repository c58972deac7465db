//! A timer that wakes whoever sleeps.
use std::cell::{Cell, RefCell};

use crate::wait::WakeRef;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Set,
    Fired,
    Cancelled,
}

pub(crate) struct Alarm {
    state: Cell<State>,
    wake: RefCell<Option<WakeRef>>,
}

impl Alarm {
    pub(crate) fn new(wake: WakeRef) -> Self {
        Alarm { state: Cell::new(State::Set), wake: RefCell::new(Some(wake)) }
    }

    /// Has another one woken.
    pub(crate) fn rewire(&self, wake: WakeRef) {
        let before = self.wake.borrow_mut().replace(wake);
        drop(before);
    }

    /// The time has come. Answers who is to be woken.
    pub(crate) fn fire(&self) -> Option<WakeRef> {
        self.state.set(State::Fired);
        self.wake.borrow_mut().take()
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.state.get() == State::Fired
    }

    /// Answers whether the alarm was still to come.
    pub(crate) fn cancel(&self) -> bool {
        let was_set = self.state.get() == State::Set;
        if was_set {
            self.state.set(State::Cancelled);
            let wake = self.wake.borrow_mut().take();
            drop(wake);
        }
        was_set
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.get() == State::Cancelled
    }
}
