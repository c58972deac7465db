//! What the loop knows of a task, whatever it runs and returns.
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use boros_reactor::Time;

use crate::cancelled::Cancelled;
use crate::core::Core;
use crate::job::Job;
use crate::wait::{Cancel, Waits};
use crate::waker::{TaskKey, TaskWaker};

/// The part of a task that does not depend on its types.
pub(crate) struct Header {
    pub(crate) core: Rc<Core>,
    pub(crate) key: TaskKey,
    /// Counts the tasks of a loop; the default name shows it.
    pub(crate) serial: u64,
    pub(crate) name: RefCell<Option<Rc<str>>>,
    pub(crate) created: Time,
    pub(crate) created_at: &'static Location<'static>,
    pub(crate) steps: Cell<u64>,
    /// Stands in the ready queue.
    scheduled: Cell<bool>,
    /// A request to end that no wait has taken up yet.
    must_cancel: Cell<bool>,
    message: RefCell<Option<Arc<str>>>,
    /// A request is on its way through this task.
    in_cancel: Cell<bool>,
    /// Requests to end, less those taken back.
    pub(crate) cancelling: Cell<u32>,
    pub(crate) waits: RefCell<Waits>,
    waker: RefCell<Option<TaskWaker>>,
}

impl Header {
    pub(crate) fn new(
        core: Rc<Core>,
        key: TaskKey,
        serial: u64,
        waker: TaskWaker,
        created_at: &'static Location<'static>,
    ) -> Self {
        let created = core.recent.get();
        Header {
            core,
            key,
            serial,
            name: RefCell::new(None),
            created,
            created_at,
            steps: Cell::new(0),
            scheduled: Cell::new(false),
            must_cancel: Cell::new(false),
            message: RefCell::new(None),
            in_cancel: Cell::new(false),
            cancelling: Cell::new(0),
            waits: RefCell::new(Waits::default()),
            waker: RefCell::new(Some(waker)),
        }
    }

    pub(crate) fn name(&self) -> Rc<str> {
        match &*self.name.borrow() {
            Some(name) => Rc::clone(name),
            None => format!("Task-{}", self.serial).into(),
        }
    }

    /// Marks the task as queued; false if it is queued already.
    #[inline]
    pub(crate) fn schedule(&self) -> bool {
        !self.scheduled.replace(true)
    }

    /// The task leaves the queue: it is about to be stepped.
    #[inline]
    pub(crate) fn begin_step(&self) {
        self.scheduled.set(false);
        self.steps.set(self.steps.get() + 1);
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.scheduled.get()
    }

    /// Calls `f` with the task's waker, if it has not ended.
    #[inline]
    pub(crate) fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> Option<R> {
        self.waker.borrow().as_ref().map(|waker| f(waker.waker()))
    }

    pub(crate) fn take_waker(&self) -> Option<TaskWaker> {
        self.waker.borrow_mut().take()
    }

    #[inline]
    pub(crate) fn must_cancel(&self) -> bool {
        self.must_cancel.get()
    }

    /// Takes up the request to end, if there is one.
    #[inline]
    pub(crate) fn take_cancel(&self) -> Option<Cancelled> {
        self.must_cancel.replace(false).then(|| Cancelled::new(self.message.borrow_mut().take()))
    }

    /// Takes back one request to end. Answers how many are left.
    pub(crate) fn uncancel(&self) -> u32 {
        let left = self.cancelling.get().saturating_sub(1);
        self.cancelling.set(left);
        if left == 0 {
            self.must_cancel.set(false);
        }
        left
    }
}

/// A task.
pub(crate) trait TaskObject {
    fn header(&self) -> &Header;
    /// Runs the task to its next wait, or its end.
    fn step(&self);
    fn is_done(&self) -> bool;
    /// Whether it has ended by cancellation.
    fn is_cancelled(&self) -> bool;
    /// Drops what the task runs, wherever it waits, and cancels it: the loop is closing.
    fn abandon(&self);
    /// Has `function` called when it has ended.
    fn tell_end(&self, function: Box<dyn FnOnce()>);
    /// The type of what it runs.
    fn body(&self) -> &'static str;
}

/// Puts a task into the ready queue unless it is there.
#[inline]
pub(crate) fn schedule(task: &Rc<dyn TaskObject>) {
    let header = task.header();
    if !task.is_done() && header.schedule() {
        header.core.engine.borrow_mut().push(Job::Task(Rc::clone(task)));
    }
}

/// Asks a task to end; false if it has ended.
///
/// What the task awaits is asked first: the request goes down to the innermost task or future, and comes back as what that
/// ends with. Where nothing is awaited that could be asked, the task is stepped and the place where it waits raises.
///
/// The way down is a loop, not a recursion, since chains of tasks may be long; and tasks that await each other in a circle
/// are met once.
pub(crate) fn cancel(task: &Rc<dyn TaskObject>, message: Option<Arc<str>>) -> bool {
    if task.is_done() || task.header().in_cancel.get() {
        return false;
    }
    let mut path = Vec::new();
    let mut next = Some(Rc::clone(task));
    while let Some(task) = next {
        let header = task.header();
        header.cancelling.set(header.cancelling.get() + 1);
        header.in_cancel.set(true);
        next = ask_awaited(&task, &message);
        path.push(task);
    }
    for task in path {
        task.header().in_cancel.set(false);
    }
    true
}

/// Asks what the task awaits: answers with the task that is to be asked next. Without one, what is awaited has been asked, or
/// the task itself notes the request.
fn ask_awaited(
    task: &Rc<dyn TaskObject>,
    message: &Option<Arc<str>>,
) -> Option<Rc<dyn TaskObject>> {
    let header = task.header();
    let (targets, wakers) = header.waits.borrow().reach();
    for target in targets {
        match target.as_task() {
            Ok(task) if !task.is_done() && !task.header().in_cancel.get() => return Some(task),
            Ok(_) => {}
            Err(target) => {
                if target.cancel(message.clone()) {
                    return None;
                }
            }
        }
    }
    header.must_cancel.set(true);
    header.message.borrow_mut().clone_from(message);
    for waker in wakers {
        waker.wake();
    }
    schedule(task);
    None
}

/// Passes a request that met no wait on to what is about to be awaited. False: it must be raised here.
pub(crate) fn pass_on(header: &Header, target: &Rc<dyn Cancel>) -> bool {
    let message = header.message.borrow().clone();
    let passed = Rc::clone(target).cancel(message);
    if passed {
        header.must_cancel.set(false);
        header.message.borrow_mut().take();
    }
    passed
}
