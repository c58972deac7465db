//! Errors that nobody waits for.
use std::fmt;
use std::rc::Rc;

use crate::error::Error;

/// What an exception handler is told; see [`LoopHandle::set_exception_handler`](crate::LoopHandle::set_exception_handler).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ErrorReport {
    /// What happened.
    pub message: String,
    /// The error concerned, if there is one.
    pub error: Option<Error>,
    /// The name of the task concerned, if there is one.
    pub task: Option<Rc<str>>,
}

pub(crate) type Handler = Rc<dyn Fn(&ErrorReport)>;

impl ErrorReport {
    pub(crate) fn new(message: &str, error: Option<Error>) -> Self {
        ErrorReport { message: message.to_owned(), error, task: None }
    }

    pub(crate) fn of_task(mut self, name: &Rc<str>) -> Self {
        self.task = Some(Rc::clone(name));
        self
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = &self.task {
            write!(f, "{task}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.error {
            Some(error) => write!(f, ": {error:?}"),
            None => Ok(()),
        }
    }
}
