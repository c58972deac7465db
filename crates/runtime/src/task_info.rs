//! What is to be seen of a task from outside.
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::task_object::TaskObject;
use crate::wait::WaitsFor;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It has not been stepped yet.
    Created,
    /// It is being stepped at this moment.
    Running,
    /// It will be stepped in this turn or the next.
    Ready,
    /// It waits.
    Waiting,
    /// It has returned or failed.
    Finished,
    /// It has ended by cancellation.
    Cancelled,
}

/// One place where a task waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingAt {
    /// What for.
    pub on: WaitsFor,
    /// The place in the program, if it is known.
    pub at: Option<&'static Location<'static>>,
}

/// What is to be seen of a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its name.
    pub name: Rc<str>,
    /// Its state.
    pub state: TaskState,
    /// How long ago it was made, by the loop's clock, as of the loop's last look at it.
    pub age: Duration,
    /// How often it was stepped.
    pub steps: u64,
    /// Where it was created.
    pub created_at: &'static Location<'static>,
    /// The type of what it runs.
    pub body: &'static str,
    /// Requests to end, less those taken back.
    pub cancelling: u32,
    /// Where it waits: one place, or more when it awaits several things at once.
    pub waits: Vec<WaitingAt>,
}

impl TaskInfo {
    pub(crate) fn of<T: TaskObject + ?Sized>(task: &T) -> Self {
        let header = task.header();
        let current = header.core.current.borrow().as_ref().is_some_and(|current| {
            // Keys tell the tasks of a loop apart.
            current.header().key == header.key
        });
        let state = match () {
            () if task.is_cancelled() => TaskState::Cancelled,
            () if task.is_done() => TaskState::Finished,
            () if current => TaskState::Running,
            () if header.steps.get() == 0 => TaskState::Created,
            () if header.is_scheduled() => TaskState::Ready,
            () => TaskState::Waiting,
        };
        let mut waits: Vec<_> = header
            .waits
            .borrow()
            .iter()
            .map(|place| WaitingAt { on: place.reason.clone(), at: Some(place.at) })
            .collect();
        if state == TaskState::Waiting && waits.is_empty() {
            waits.push(WaitingAt { on: WaitsFor::Foreign, at: None });
        }
        TaskInfo {
            name: header.name(),
            state,
            age: header.core.recent.get().since(header.created),
            steps: header.steps.get(),
            created_at: header.created_at,
            body: task.body(),
            cancelling: header.cancelling.get(),
            waits,
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            TaskState::Created => "created",
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
            TaskState::Finished => "finished",
            TaskState::Cancelled => "cancelled",
        };
        write!(f, "{} {state}", self.name)?;
        for (index, wait) in self.waits.iter().enumerate() {
            f.write_str(if index == 0 { " for " } else { " and for " })?;
            write!(f, "{}", wait.on)?;
            if let Some(at) = wait.at {
                write!(f, " at {}:{}", at.file(), at.line())?;
            }
        }
        Ok(())
    }
}
