//! What a yield receives and what a body ends with, in generators and in coroutines.
use core::panic::Location;

use crate::error::{Error, Misuse, MisuseKind};
use crate::step::Unsent;

type Place = Option<&'static Location<'static>>;

/// What a yield receives: `()` in a generator, `Result<S, Error<E>>` in a coroutine.
///
/// Sealed: the two are all there are.
pub trait Input: Sized + sealed::Sealed {
    /// Whether it is an error, which must not be lost.
    #[doc(hidden)]
    fn is_raise(&self) -> bool;

    /// Moves it out of its place, one variant at a time: copied as a whole, it would wait for the stores that made it.
    ///
    /// # Safety
    /// As [`core::ptr::read`].
    #[doc(hidden)]
    unsafe fn read(place: *const Self) -> Self;

    /// What goes on a delegate that is suspended already, where that needs no value.
    #[doc(hidden)]
    fn first() -> Option<Self>;
}

/// What a yield of an iterator's items receives, and what the delegation to an iterator ends with.
pub trait Iterated: Input {
    /// The value of `yield_all(…).await`.
    type Done;

    /// Whether to go on with the next item, or what to end with.
    #[doc(hidden)]
    fn go_on(self, at: Place) -> Result<(), Self::Done>;

    #[doc(hidden)]
    fn done() -> Self::Done;
}

/// What a body ends with, in bodies whose yields receive `I`.
pub trait Outcome<I>: Sized {
    /// The value of `yield_from(…).await` on such a body.
    type Value;

    #[doc(hidden)]
    fn into_value(self) -> Self::Value;

    /// When the delegate cannot be run.
    #[doc(hidden)]
    fn unusable(kind: MisuseKind, at: Place) -> Self::Value;

    /// When something is raised at the `yield_from` itself.
    #[doc(hidden)]
    fn raised(input: I) -> Self::Value;

    /// What is raised in the parent of a body that was asked to end, and did.
    #[doc(hidden)]
    fn after_close(self) -> Option<I>;

    /// What is raised in the parent of a body that was asked to end, and yielded.
    #[doc(hidden)]
    fn ignored_close(at: Place) -> Option<I>;
}

impl Input for () {
    fn is_raise(&self) -> bool {
        false
    }

    unsafe fn read(_: *const Self) -> Self {}

    fn first() -> Option<Self> {
        Some(())
    }
}

impl Iterated for () {
    type Done = ();

    fn go_on(self, _: Place) -> Result<(), ()> {
        Ok(())
    }

    fn done() {}
}

impl<R> Outcome<()> for R {
    type Value = Option<R>;

    fn into_value(self) -> Option<R> {
        Some(self)
    }

    fn unusable(_: MisuseKind, _: Place) -> Option<R> {
        None
    }

    fn raised((): ()) -> Option<R> {
        None
    }

    fn after_close(self) -> Option<()> {
        None
    }

    fn ignored_close(_: Place) -> Option<()> {
        None
    }
}

impl<S, E> Input for Result<S, Error<E>> {
    fn is_raise(&self) -> bool {
        self.is_err()
    }

    #[inline]
    unsafe fn read(place: *const Self) -> Self {
        // SAFETY: the caller's promise; each variant's content is moved once.
        unsafe {
            match &*place {
                Ok(value) => Ok(core::ptr::read(value)),
                Err(Error::Raised(error)) => Err(Error::Raised(core::ptr::read(error))),
                Err(Error::Exit) => Err(Error::Exit),
                Err(Error::Misuse(misuse)) => Err(Error::Misuse(*misuse)),
            }
        }
    }

    fn first() -> Option<Self> {
        None
    }
}

impl<S: Unsent, E> Iterated for Result<S, Error<E>> {
    type Done = Result<(), Error<E>>;

    fn go_on(self, at: Place) -> Result<(), Self::Done> {
        match self {
            Ok(value) if value.is_unsent() => Ok(()),
            Ok(_) => Err(Err(Error::Misuse(Misuse::new(MisuseKind::SentToIterator, at)))),
            Err(error) => Err(Err(error)),
        }
    }

    fn done() -> Self::Done {
        Ok(())
    }
}

impl<S, R, E> Outcome<Result<S, Error<E>>> for Result<R, Error<E>> {
    type Value = Self;

    fn into_value(self) -> Self {
        self
    }

    fn unusable(kind: MisuseKind, at: Place) -> Self {
        Err(Error::Misuse(Misuse::new(kind, at)))
    }

    fn raised(input: Result<S, Error<E>>) -> Self {
        match input {
            // A value can only come here for a `yield_from` that was never linked; there is nothing to give it to.
            Ok(_) => Err(Error::Misuse(Misuse::new(MisuseKind::Stalled, None))),
            Err(error) => Err(error),
        }
    }

    fn after_close(self) -> Option<Result<S, Error<E>>> {
        Some(Err(match self {
            Ok(_) => Error::Exit,
            Err(error) => error,
        }))
    }

    fn ignored_close(at: Place) -> Option<Result<S, Error<E>>> {
        Some(Err(Error::Misuse(Misuse::new(MisuseKind::IgnoredClose, at))))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<S, E> Sealed for Result<S, crate::error::Error<E>> {}
}
