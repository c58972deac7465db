//! The one thing that schedulers know about what they run: it can be stepped.
use alloc::boxed::Box;
use core::pin::Pin;

use crate::View;

/// What a step hands to the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume<S, X> {
    /// Nothing: start the body, or go on with the value that stands for "nothing was sent".
    Next,
    /// A value for the yield at which the body waits.
    Send(S),
    /// An error to raise at that yield.
    Throw(X),
}

/// How far a step has come when nothing was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<Y, R> {
    /// The body waits at a yield of this value.
    Yielded(Y),
    /// The body has ended with this value.
    Returned(R),
}

impl<Y, R> Progress<Y, R> {
    /// The yielded value, if the body yielded.
    pub fn yielded(self) -> Option<Y> {
        match self {
            Self::Yielded(value) => Some(value),
            Self::Returned(_) => None,
        }
    }

    /// The returned value, if the body ended.
    pub fn returned(self) -> Option<R> {
        match self {
            Self::Yielded(_) => None,
            Self::Returned(value) => Some(value),
        }
    }
}

/// The three answers to a step: `Ok(Yielded)`, `Ok(Returned)`, or the error that the body raised.
pub type Stepped<Y, R, X> = Result<Progress<Y, R>, X>;

/// Something that runs in steps: each is given a value or an error and answers *yielded*, *returned* or *raised*.
///
/// Generators and coroutines implement it, pinned or boxed; so may any state machine that a task or scheduler is to
/// drive. The trait can be made into an object. A step after the end must raise, never panic.
pub trait Step {
    /// What the body yields: a value for its caller, or a thing to wait for.
    type Yield;
    /// What a yield receives.
    type Send;
    /// What the body ends with.
    type Return;
    /// What is raised at a yield and what the body raises.
    type Error;

    /// Runs the body from where it waits to its next yield or its end.
    ///
    /// # Errors
    /// What the body raised, or the misuse: a value for a body that has not started, a step after the end.
    fn step(
        self: Pin<&mut Self>,
        resume: Resume<Self::Send, Self::Error>,
    ) -> Stepped<Self::Yield, Self::Return, Self::Error>;

    /// Asks the body to end, and answers with its return value if it returned one when asked.
    ///
    /// # Errors
    /// What the body raised instead, or [`IgnoredClose`](crate::MisuseKind::IgnoredClose) if it yielded.
    fn close(self: Pin<&mut Self>) -> Result<Option<Self::Return>, Self::Error>;

    /// What can be seen from outside: state, place of the yield, delegate, exposed values.
    fn view(&self) -> View<'_>;
}

impl<T: Step + ?Sized> Step for Pin<Box<T>> {
    type Yield = T::Yield;
    type Send = T::Send;
    type Return = T::Return;
    type Error = T::Error;

    fn step(
        self: Pin<&mut Self>,
        resume: Resume<Self::Send, Self::Error>,
    ) -> Stepped<Self::Yield, Self::Return, Self::Error> {
        self.get_mut().as_mut().step(resume)
    }

    fn close(self: Pin<&mut Self>) -> Result<Option<Self::Return>, Self::Error> {
        self.get_mut().as_mut().close()
    }

    fn view(&self) -> View<'_> {
        (**self).view()
    }
}

/// A type with a value that means "nothing was sent", as `None` does in Python: what a yield receives from `next`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no value that means \"nothing was sent\"",
    note = "use `Option<{Self}>` as the type to send, or `start()` and `send()` in place of `next()`"
)]
pub trait Unsent: Sized {
    /// The value that a yield receives when nothing was sent.
    fn unsent() -> Self;
    /// Whether this is that value.
    fn is_unsent(&self) -> bool;
}

impl Unsent for () {
    fn unsent() -> Self {}

    fn is_unsent(&self) -> bool {
        true
    }
}

impl<T> Unsent for Option<T> {
    fn unsent() -> Self {
        None
    }

    fn is_unsent(&self) -> bool {
        self.is_none()
    }
}
