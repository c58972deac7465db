//! Which loop runs in this thread, and which task of it.
use std::cell::RefCell;
use std::rc::Rc;

use crate::core::Core;
use crate::error::InvalidState;
use crate::task_object::TaskObject;

thread_local! {
    static RUNNING: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Calls `f` with the loop that runs in this thread, if one does.
#[inline]
pub(crate) fn with_core<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    // Wakers may be dropped or used while the thread ends.
    RUNNING.try_with(|running| running.borrow().as_ref().map(f)).ok().flatten()
}

/// The loop that runs in this thread.
pub(crate) fn core() -> Result<Rc<Core>, InvalidState> {
    with_core(Rc::clone).ok_or(InvalidState::NoLoop)
}

/// The task that runs in this thread.
pub(crate) fn task() -> Option<Rc<dyn TaskObject>> {
    with_core(|core| core.current.borrow().clone()).flatten()
}

/// Calls `f` with the task that runs in this thread, if one does. `f` must not run foreign code.
#[inline]
pub(crate) fn with_task<R>(f: impl FnOnce(&Rc<dyn TaskObject>) -> R) -> Option<R> {
    with_core(|core| core.current.borrow().as_ref().map(f)).flatten()
}

/// Makes `core` the loop of this thread until the answer is dropped.
pub(crate) fn enter(core: &Rc<Core>) -> Result<Entered, InvalidState> {
    RUNNING.with_borrow_mut(|running| {
        if running.is_some() {
            return Err(InvalidState::OtherLoop);
        }
        *running = Some(Rc::clone(core));
        Ok(Entered(()))
    })
}

pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        let core = RUNNING.with_borrow_mut(Option::take);
        drop(core);
    }
}
