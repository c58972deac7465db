//! A scheduler without readiness: generators in turn, until all have ended.
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use boros_coro::{Error as CoroError, Progress, Resume, Step};
use boros_reactor::{Clock, Time};

use crate::error::{Error, IntoError, Result, raised};
use crate::round_robin::RoundRobin;

/// What a routine of a [`Scheduler`] yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Let the others have their turn.
    Turn,
    /// Come back when this much time has passed.
    Sleep(Duration),
}

impl From<()> for Pause {
    fn from((): ()) -> Self {
        Pause::Turn
    }
}

impl From<Duration> for Pause {
    fn from(delay: Duration) -> Self {
        Pause::Sleep(delay)
    }
}

/// Which routine of a scheduler: they are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutineId(u64);

impl fmt::Display for RoutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a step ended.
#[derive(Debug, Clone)]
pub enum StepEnd {
    /// The routine goes on when it is its turn, or when it has slept.
    Paused(Pause),
    /// It has returned.
    Returned,
    /// It has failed.
    Failed(Error),
}

/// One step of one routine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// The routine.
    pub id: RoutineId,
    /// How many steps of it there were, this one included.
    pub count: u64,
    /// How long the step took.
    pub took: Duration,
    /// How it ended.
    pub end: StepEnd,
}

trait Steps<R> {
    fn step(&mut self) -> Result<Progress<Pause, R>>;
}

impl<S, E> Steps<S::Return> for Pin<Box<S>>
where
    S: Step<Error = CoroError<E>>,
    S::Yield: Into<Pause>,
    E: IntoError,
{
    fn step(&mut self) -> Result<Progress<Pause, S::Return>> {
        match self.as_mut().step(Resume::Next).map_err(raised)? {
            Progress::Yielded(pause) => Ok(Progress::Yielded(pause.into())),
            Progress::Returned(value) => Ok(Progress::Returned(value)),
        }
    }
}

struct Routine<'a, R> {
    id: RoutineId,
    count: u64,
    steps: Box<dyn Steps<R> + 'a>,
}

type Observer<'a> = Box<dyn FnMut(&StepReport) + 'a>;

/// Runs generators in turn: each is stepped to its next yield, then the next one. A generator that yields `()` lets the others
/// have their turn, one that yields a [`Duration`] sleeps. When all that are left sleep, so does the thread.
///
/// ```
/// use boros::coro::{BoxGenerator, generator};
/// use boros::Scheduler;
///
/// let count = |to: u32| -> BoxGenerator<'static, (), u32> {
///     generator(async move |mut co| {
///         for _ in 0..to {
///             co.yield_(()).await;
///         }
///         to
///     })
///     .boxed()
/// };
/// let mut scheduler = Scheduler::new();
/// let (two, three) = (scheduler.add(count(2)), scheduler.add(count(3)));
/// scheduler.run();
/// assert_eq!(scheduler.take_result(three).unwrap()?, 3);
/// assert_eq!(scheduler.take_result(two).unwrap()?, 2);
/// # boros::Result::<()>::Ok(())
/// ```
pub struct Scheduler<'a, R> {
    order: RoundRobin<Routine<'a, R>, Time>,
    results: BTreeMap<RoutineId, Result<R>>,
    added: u64,
    clock: Clock,
    trace: Option<Observer<'a>>,
    blocking: Option<(Duration, Observer<'a>)>,
}

impl<'a, R> Scheduler<'a, R> {
    /// Without routines, on the system's monotonic clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::monotonic())
    }

    /// Without routines. A [virtual clock](Clock::simulated) is moved on instead of sleeping.
    pub fn with_clock(clock: Clock) -> Self {
        Scheduler {
            order: RoundRobin::new(),
            results: BTreeMap::new(),
            added: 0,
            clock,
            trace: None,
            blocking: None,
        }
    }

    /// Adds a generator, a coroutine, or anything else that runs in steps; its turn comes after those that are ready.
    pub fn add<S, E>(&mut self, routine: S) -> RoutineId
    where
        S: Step<Return = R, Error = CoroError<E>> + 'a,
        S::Yield: Into<Pause>,
        E: IntoError,
        R: 'a,
    {
        self.added += 1;
        let id = RoutineId(self.added);
        self.order.push(Routine { id, count: 0, steps: Box::new(Box::pin(routine)) });
        id
    }

    /// Has `observer` told of every step.
    pub fn on_step(&mut self, observer: impl FnMut(&StepReport) + 'a) {
        self.trace = Some(Box::new(observer));
    }

    /// Has `observer` told of every step that took longer than `limit`: nothing else could run meanwhile.
    pub fn on_blocking(&mut self, limit: Duration, observer: impl FnMut(&StepReport) + 'a) {
        self.blocking = Some((limit, Box::new(observer)));
    }

    /// The routines that have not ended, in the order in which they will be stepped if nothing changes.
    pub fn routines(&self) -> Vec<RoutineId> {
        self.order.in_order().into_iter().map(|routine| routine.id).collect()
    }

    /// Makes one step of the routine whose turn it is, after sleeping until there is one; `None` when all have ended.
    pub fn step(&mut self) -> Option<StepReport> {
        let mut routine = self.next()?;
        let start = self.clock.now();
        let stepped = catch_unwind(AssertUnwindSafe(|| routine.steps.step()))
            .unwrap_or_else(|payload| Err(Error::panicked(&*payload)));
        let now = self.clock.now();
        let (id, took) = (routine.id, now.since(start));
        routine.count += 1;
        let count = routine.count;
        let end = match stepped {
            Ok(Progress::Yielded(pause)) => {
                match pause {
                    Pause::Turn => self.order.push(routine),
                    Pause::Sleep(delay) => self.order.sleep(routine, now.after(delay)),
                }
                StepEnd::Paused(pause)
            }
            Ok(Progress::Returned(value)) => {
                self.results.insert(id, Ok(value));
                StepEnd::Returned
            }
            Err(error) => {
                self.results.insert(id, Err(error.clone()));
                StepEnd::Failed(error)
            }
        };
        let report = StepReport { id, count, took, end };
        if let Some(trace) = &mut self.trace {
            trace(&report);
        }
        if let Some((limit, observer)) = &mut self.blocking
            && took > *limit
        {
            observer(&report);
        }
        Some(report)
    }

    fn next(&mut self) -> Option<Routine<'a, R>> {
        loop {
            self.order.wake(self.clock.now());
            if let Some(routine) = self.order.pop() {
                return Some(routine);
            }
            let deadline = self.order.next_deadline()?;
            if self.clock.is_simulated() {
                self.clock.advance_to(deadline);
            } else {
                std::thread::sleep(deadline.since(self.clock.now()));
            }
        }
    }

    /// Steps the routines in turn until all have ended.
    pub fn run(&mut self) {
        while self.step().is_some() {}
    }

    /// What a routine has ended with, if it has, and nobody has taken it.
    pub fn result(&self, id: RoutineId) -> Option<&Result<R>> {
        self.results.get(&id)
    }

    /// Takes what a routine has ended with, if it has.
    pub fn take_result(&mut self, id: RoutineId) -> Option<Result<R>> {
        self.results.remove(&id)
    }
}

impl<R> Default for Scheduler<'_, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> fmt::Debug for Scheduler<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("routines", &self.routines())
            .field("ended", &self.results.len())
            .finish_non_exhaustive()
    }
}
