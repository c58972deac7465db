//! A coroutine with several owners, its own body among them.
use alloc::rc::{Rc, Weak};
use core::cell::RefCell;
use core::fmt;
use core::pin::Pin;

use crate::error::{Error, Misuse, MisuseKind};
use crate::state::State;
use crate::step::{Resume, Step, Stepped};
use crate::view::View;

/// A generator or coroutine behind shared handles, as Python's always are.
///
/// Elsewhere in this crate stepping takes `&mut`, so that a body can have no way to step itself. Here it has one, and
/// stepping a running body is the error [`AlreadyRunning`](crate::MisuseKind::AlreadyRunning).
///
/// ```
/// use boros_coro::{BoxGenerator, Resume, Shared, State, generator};
///
/// let shared: Shared<BoxGenerator<'_, State>> = Shared::new_cyclic(|me| {
///     generator(async move |mut co| {
///         let state = me.upgrade().map_or(State::Closed, |me| me.state());
///         co.yield_(state).await;
///     })
///     .boxed()
/// });
/// assert_eq!(shared.state(), State::Created);
/// assert_eq!(shared.step(Resume::Next).ok().and_then(|step| step.yielded()), Some(State::Running));
/// assert_eq!(shared.state(), State::Suspended);
/// ```
pub struct Shared<C> {
    inner: Rc<RefCell<C>>,
}

/// A handle that does not keep the coroutine: what its own body should hold.
pub struct WeakShared<C> {
    inner: Weak<RefCell<C>>,
}

impl<C> Shared<C> {
    /// Shares a coroutine.
    pub fn new(coroutine: C) -> Self {
        Self { inner: Rc::new(RefCell::new(coroutine)) }
    }

    /// Shares a coroutine whose body is given a handle on it.
    pub fn new_cyclic(make: impl FnOnce(WeakShared<C>) -> C) -> Self {
        let inner = Rc::new_cyclic(|inner| RefCell::new(make(WeakShared { inner: inner.clone() })));
        Self { inner }
    }

    /// A handle that does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakShared<C> {
        WeakShared { inner: Rc::downgrade(&self.inner) }
    }
}

fn already_running<E>() -> Error<E> {
    Error::Misuse(Misuse::new(MisuseKind::AlreadyRunning, None))
}

impl<C, E> Shared<C>
where
    C: Step<Error = Error<E>> + Unpin,
{
    /// Steps it.
    ///
    /// # Errors
    /// As [`Step::step`]; [`AlreadyRunning`](crate::MisuseKind::AlreadyRunning) from inside of its body.
    pub fn step(
        &self,
        resume: Resume<C::Send, Error<E>>,
    ) -> Stepped<C::Yield, C::Return, Error<E>> {
        let mut inner = self.inner.try_borrow_mut().map_err(|_| already_running())?;
        Pin::new(&mut *inner).step(resume)
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// As [`Step::close`]; [`AlreadyRunning`](crate::MisuseKind::AlreadyRunning) from inside of its body.
    pub fn close(&self) -> Result<Option<C::Return>, Error<E>> {
        let mut inner = self.inner.try_borrow_mut().map_err(|_| already_running())?;
        Pin::new(&mut *inner).close()
    }
}

impl<C: Step> Shared<C> {
    /// The state; running, when asked from inside of the body.
    pub fn state(&self) -> State {
        self.inner.try_borrow().map_or(State::Running, |inner| inner.view().state())
    }

    /// Looks at it; None while its body runs.
    pub fn look<T>(&self, look: impl FnOnce(View<'_>) -> T) -> Option<T> {
        self.inner.try_borrow().ok().map(|inner| look(inner.view()))
    }
}

impl<C> WeakShared<C> {
    /// The coroutine, if it is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<Shared<C>> {
        self.inner.upgrade().map(|inner| Shared { inner })
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<C> Clone for WeakShared<C> {
    fn clone(&self) -> Self {
        Self { inner: Weak::clone(&self.inner) }
    }
}

impl<C: Step> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Shared");
        match self.inner.try_borrow() {
            Ok(inner) => inner.view().fields(&mut out),
            Err(_) => _ = out.field("state", &State::Running),
        }
        out.finish()
    }
}

impl<C> fmt::Debug for WeakShared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakShared").finish_non_exhaustive()
    }
}
