//! Who is told when a future is done.
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::task::Task;

/// One entry of a future's list.
pub(crate) enum Callback {
    /// A task of ours that waits: it is woken without a Python object in between.
    Task(Py<Task>),
    /// What `add_done_callback` was given, and the context to call it in.
    Python { function: Py<PyAny>, context: Py<PyAny> },
}

impl Callback {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Callback {
        match self {
            Callback::Task(task) => Callback::Task(task.clone_ref(py)),
            Callback::Python { function, context } => Callback::Python {
                function: function.clone_ref(py),
                context: context.clone_ref(py),
            },
        }
    }

    fn is(&self, other: &Callback) -> bool {
        match (self, other) {
            (Callback::Task(a), Callback::Task(b)) => a.is(b),
            (
                Callback::Python { function: f, context: c },
                Callback::Python { function: g, context: d },
            ) => f.is(g) && c.is(d),
            _ => false,
        }
    }

    fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Callback::Task(task) => visit.call(task),
            Callback::Python { function, context } => {
                visit.call(function)?;
                visit.call(context)
            }
        }
    }
}

/// The list itself; most futures have one entry, which needs no allocation.
#[derive(Default)]
pub(crate) enum Callbacks {
    #[default]
    None,
    One(Callback),
    Many(Vec<Callback>),
}

impl Callbacks {
    pub(crate) fn push(&mut self, callback: Callback) {
        *self = match std::mem::take(self) {
            Callbacks::None => Callbacks::One(callback),
            Callbacks::One(first) => Callbacks::Many(vec![first, callback]),
            Callbacks::Many(mut all) => {
                all.push(callback);
                Callbacks::Many(all)
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[Callback] {
        match self {
            Callbacks::None => &[],
            Callbacks::One(callback) => std::slice::from_ref(callback),
            Callbacks::Many(all) => all,
        }
    }

    /// Copies of the entries, for looking at them while Python code may change the list.
    pub(crate) fn snapshot(&self, py: Python<'_>) -> Vec<Callback> {
        self.as_slice().iter().map(|callback| callback.clone_ref(py)).collect()
    }

    /// Takes out the entries that are the same objects as one of `unwanted`, for the caller to drop.
    pub(crate) fn remove(&mut self, unwanted: &[Callback]) -> Vec<Callback> {
        let all = match std::mem::take(self) {
            Callbacks::None => return Vec::new(),
            Callbacks::One(callback) => vec![callback],
            Callbacks::Many(all) => all,
        };
        let (removed, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|callback| unwanted.iter().any(|other| callback.is(other)));
        for callback in kept {
            self.push(callback);
        }
        removed
    }

    pub(crate) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.as_slice().iter().try_for_each(|callback| callback.traverse(visit))
    }
}
