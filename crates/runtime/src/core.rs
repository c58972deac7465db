//! What the loop, its handles, tasks and everything that waits share.
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use boros_reactor::{Clock, Events, Poller, Time};

use crate::call::{CallCell, Callable};
use crate::engine::Engine;
use crate::error::Error;
use crate::executor::Executor;
use crate::face::Face;
use crate::inbox::Inbox;
use crate::job::{Job, Remote, RustKinds, Timer};
use crate::report::{ErrorReport, Handler};
use crate::signals::Signals;
use crate::task::Task;
use crate::task_object::{self, TaskObject};
use crate::task_table::TaskTable;
use crate::waker::TaskKey;

/// Something that gathers what one step writes, to write it at once when the step ends.
pub(crate) trait Flush {
    fn flush(self: Rc<Self>);
}

pub(crate) struct Core {
    pub(crate) engine: RefCell<Engine<RustKinds>>,
    pub(crate) tasks: RefCell<TaskTable>,
    /// The task that is being stepped.
    pub(crate) current: RefCell<Option<Rc<dyn TaskObject>>>,
    /// Tells the loops of a process apart.
    pub(crate) id: u64,
    pub(crate) inbox: Arc<Inbox<Remote>>,
    pub(crate) clock: Clock,
    /// The time when the loop last looked at the clock: near enough for ages.
    pub(crate) recent: Cell<Time>,
    pub(crate) running: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) closed_for_others: Arc<AtomicBool>,
    pub(crate) executor: Executor,
    pub(crate) signals: RefCell<Signals>,
    #[cfg(feature = "hyper")]
    pub(crate) hyper_timers: crate::hyper_timer::HyperTimers,
    handler: RefCell<Option<Handler>>,
    unflushed: RefCell<Vec<Rc<dyn Flush>>>,
    /// Dropped async generators that are still on their way to their end.
    pub(crate) orphans: RefCell<Vec<Task<()>>>,
}

impl Core {
    pub(crate) fn new(clock: Clock) -> io::Result<Rc<Self>> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let engine = Engine::new(clock.clone())?;
        let inbox = Arc::clone(engine.inbox());
        Ok(Rc::new(Core {
            engine: RefCell::new(engine),
            tasks: RefCell::new(TaskTable::default()),
            current: RefCell::new(None),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            executor: Executor::new(Arc::clone(&inbox)),
            inbox,
            recent: Cell::new(clock.now()),
            clock,
            running: Cell::new(false),
            closed: Cell::new(false),
            closed_for_others: Arc::default(),
            signals: RefCell::new(Signals::default()),
            #[cfg(feature = "hyper")]
            hyper_timers: Default::default(),
            handler: RefCell::new(None),
            unflushed: RefCell::new(Vec::new()),
            orphans: RefCell::new(Vec::new()),
        }))
    }

    #[inline]
    pub(crate) fn push(&self, job: Job) {
        self.engine.borrow_mut().push(job);
    }

    /// Calls `function` at `when`, unless the answer is cancelled before.
    pub(crate) fn call_at(
        &self,
        when: Time,
        function: impl FnOnce() + 'static,
    ) -> Rc<dyn Callable> {
        let call: Rc<dyn Callable> = CallCell::timed(function);
        self.engine.borrow_mut().push_timer(when, Timer::Call(Rc::clone(&call)));
        call
    }

    /// Cancels a call that was made by `call_at`.
    pub(crate) fn cancel_call(&self, call: &Rc<dyn Callable>) {
        if call.cancel() {
            self.timer_cancelled();
        }
    }

    /// One of the queued timers was cancelled.
    #[inline]
    pub(crate) fn timer_cancelled(&self) {
        let dead = self.engine.borrow_mut().timer_cancelled();
        drop(dead);
    }

    /// Puts a task, named by its key, into the ready queue.
    pub(crate) fn wake_key(&self, key: TaskKey) {
        let task = self.tasks.borrow().get(key);
        if let Some(task) = task {
            task_object::schedule(&task);
        }
    }

    /// Has `writer` flushed at the end of the step that runs.
    pub(crate) fn flush_later(&self, writer: Rc<dyn Flush>) {
        self.unflushed.borrow_mut().push(writer);
    }

    #[cold]
    fn flush(&self) {
        // Flushing may run foreign code that writes more.
        while !self.unflushed.borrow().is_empty() {
            let writers = self.unflushed.take();
            for writer in writers {
                writer.flush();
            }
        }
    }

    pub(crate) fn set_handler(&self, handler: Option<Handler>) -> Option<Handler> {
        self.handler.replace(handler)
    }

    /// Tells the program of an error that nobody waits for.
    pub(crate) fn report(&self, report: &ErrorReport) {
        let handler = self.handler.borrow().clone();
        match handler {
            Some(handler) => {
                if catch_unwind(AssertUnwindSafe(|| handler(report))).is_err() {
                    eprintln!("the exception handler panicked while it was told: {report}");
                }
            }
            None => eprintln!("{report}"),
        }
    }

    fn run_remote(&self, remote: Remote) {
        match remote {
            Remote::Wake(node) => self.wake_key(node.received()),
            Remote::Finished(deliver) => self.executor.finished(deliver),
            Remote::Call(function) => self.guard("a call from another thread", function),
        }
    }

    /// Runs foreign code, so that a panic in it is reported and ends nothing else.
    pub(crate) fn guard(&self, what: &str, function: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(function)) {
            self.report(&ErrorReport::new(what, Some(Error::panicked(&*payload))));
        }
    }

    /// Runs one task to its next wait.
    #[inline]
    fn step(&self, task: Rc<dyn TaskObject>) {
        self.current.replace(Some(task));
        if let Some(task) = &*self.current.borrow() {
            task.step();
        }
        // Dropped when the cell has been given back: it may be the last reference.
        let task = self.current.take();
        drop(task);
    }

    /// What a virtual clock's wait does: nobody's time passes while the loop waits for a deadline.
    fn wait_virtually(
        &self,
        poller: &Poller,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        poller.wait(events, Some(Duration::ZERO))?;
        if !events.is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        match timeout {
            // Other threads work in real time, whatever this clock says.
            Some(timeout) if self.executor.is_idle() => {
                self.clock.advance_to(self.clock.now().after(timeout));
                Ok(())
            }
            _ => poller.wait(events, None),
        }
    }
}

impl Face for Core {
    type Kinds = RustKinds;
    type Error = Error;

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Engine<RustKinds>) -> R) -> R {
        f(&mut self.engine.borrow_mut())
    }

    fn wait(
        &self,
        poller: &Poller,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let result = if self.clock.is_simulated() {
            self.wait_virtually(poller, events, timeout)
        } else {
            poller.wait(events, timeout)
        };
        self.recent.set(self.clock.now());
        result
    }

    fn interrupted(&self) -> Result<(), Error> {
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        error.into()
    }

    #[inline]
    fn run(&self, job: Job) -> Result<(), Error> {
        match job {
            Job::Task(task) => self.step(task),
            Job::Call(call) => self.guard("a callback", || call.call()),
            Job::Wake(waker) => waker.wake(),
            Job::Ready(source, direction) => source.wake(direction),
            Job::Watched(watch) => self.guard("a descriptor's callback", || watch.call()),
            Job::Remote(remote) => self.run_remote(remote),
            Job::Nothing => {}
        }
        if !self.unflushed.borrow().is_empty() {
            self.flush();
        }
        Ok(())
    }
}
