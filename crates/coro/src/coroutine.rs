//! Coroutines: bodies whose yields receive values and errors.
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;

use crate::block::Block;
use crate::body::{Core, Engine};
use crate::delegate::{Chain, Chained};
use crate::error::Error;
use crate::handle::{Co, Handle};
use crate::pool::Pool;
use crate::protocol::{self, Received};
use crate::state::State;
use crate::step::{Resume, Step, Stepped, Unsent};
use crate::view::View;
use crate::{Local, Sendable};

/// Makes a coroutine of a body, an async closure or function that yields through its [`Co`].
///
/// Nothing runs until the first step. The coroutine is pinned to be used: on the stack with [`core::pin::pin!`], which
/// allocates nothing, or on the heap with [`boxed`](Coroutine::boxed). `Y` is what it yields, `S` what is sent to its yields,
/// `R` what it returns, `E` what may be thrown and raised.
///
/// ```
/// use boros_coro::{BoxCoroutine, Progress::Yielded, coroutine};
///
/// let mut average: BoxCoroutine<'_, f64, f64> = coroutine(async |mut co| {
///     let (mut total, mut count, mut average) = (0.0, 0.0, 0.0);
///     loop {
///         total += co.yield_(average).await?;
///         count += 1.0;
///         average = total / count;
///     }
/// })
/// .boxed();
/// average.start()?;
/// assert_eq!(average.send(10.0)?, Yielded(10.0));
/// assert_eq!(average.send(20.0)?, Yielded(15.0));
/// average.close()?;
/// # Ok::<(), boros_coro::Error<std::convert::Infallible>>(())
/// ```
pub fn coroutine<'env, Y, S, R, E, F, Fut>(body: F) -> Coroutine<'env, Y, S, R, E, F, Fut>
where
    F: for<'g> AsyncFnOnce(Co<'g, 'env, Y, S, E>) -> Result<R, Error<E>>
        + FnOnce(Handle<'env, 'env, Y, Result<S, Error<E>>>) -> Fut,
    Fut: Future<Output = Result<R, Error<E>>>,
{
    Coroutine { core: Core::new(body) }
}

/// A coroutine: a body that is run from yield to yield, and at each is sent a value or thrown an error.
///
/// Made by [`coroutine`]. It is `Send` when its body is. Dropped while it waits at a yield, it drops the body's variables
/// there without running the body; to have the body clean up, [`close`](Coroutine::close) it.
#[must_use = "a coroutine does nothing until it is stepped"]
pub struct Coroutine<'env, Y, S, R, E, F, Fut> {
    core: Core<'env, Y, Received<S, E>, Result<R, Error<E>>, F, Fut>,
}

impl<'env, Y, S, R, E, F, Fut> Coroutine<'env, Y, S, R, E, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<R, Error<E>>>,
{
    #[inline]
    pub(crate) fn engine(
        self: Pin<&mut Self>,
    ) -> Pin<&mut Core<'env, Y, Received<S, E>, Result<R, Error<E>>, F, Fut>> {
        // SAFETY: the core is pinned with the coroutine.
        unsafe { self.map_unchecked_mut(|this| &mut this.core) }
    }

    /// Moves it to one block of the heap; see [`BoxCoroutine`].
    pub fn boxed<'a>(self) -> BoxCoroutine<'a, Y, S, R, E>
    where
        'env: 'a,
        Y: 'a,
        S: 'a,
        R: 'a,
        E: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxCoroutine { block: Block::new(self.core), _marker: PhantomData }
    }

    /// As [`boxed`](Self::boxed), for a body that may be moved between threads.
    pub fn boxed_send<'a>(self) -> BoxCoroutine<'a, Y, S, R, E, Sendable>
    where
        Self: Send,
        'env: 'a,
        Y: 'a,
        S: 'a,
        R: 'a,
        E: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxCoroutine { block: Block::new(self.core), _marker: PhantomData }
    }

    /// As [`boxed`](Self::boxed), in a block that is taken from the pool and goes back to it.
    pub fn boxed_in<'a>(self, pool: &Pool) -> BoxCoroutine<'a, Y, S, R, E>
    where
        'env: 'a,
        Y: 'a,
        S: 'a,
        R: 'a,
        E: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxCoroutine { block: Block::pooled(self.core, pool), _marker: PhantomData }
    }

    /// Runs a new coroutine to its first yield.
    ///
    /// # Errors
    /// What the body raises; [`AlreadyStarted`](crate::MisuseKind::AlreadyStarted), [`Exhausted`](crate::MisuseKind::Exhausted)
    /// after the end, [`Stalled`](crate::MisuseKind::Stalled) if the body awaits something other than its yields.
    pub fn start(self: Pin<&mut Self>) -> Stepped<Y, R, Error<E>> {
        protocol::start(self.engine())
    }

    /// Goes on with nothing sent, starting the body if need be: Python's `next`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(self: Pin<&mut Self>) -> Stepped<Y, R, Error<E>>
    where
        S: Unsent,
    {
        protocol::next(self.engine())
    }

    /// Sends a value to the yield where the body waits, and runs to the next.
    ///
    /// # Errors
    /// What the body raises; [`NotStarted`](crate::MisuseKind::NotStarted) before the first step,
    /// [`Exhausted`](crate::MisuseKind::Exhausted) after the end, [`Stalled`](crate::MisuseKind::Stalled) if the body awaits
    /// something other than its yields.
    #[inline]
    pub fn send(self: Pin<&mut Self>, value: S) -> Stepped<Y, R, Error<E>> {
        protocol::send(self.engine(), value)
    }

    /// Raises an error at the yield where the body waits, and runs to the next.
    ///
    /// A coroutine that has not started is closed by it; one that has ended answers with the error itself.
    ///
    /// # Errors
    /// What the body raises, which is this error unless the body handles it.
    #[inline]
    pub fn throw(self: Pin<&mut Self>, error: impl Into<Error<E>>) -> Stepped<Y, R, Error<E>> {
        protocol::throw(self.engine(), error.into())
    }

    /// Asks the body to end, by raising [`Error::Exit`] where it waits: in its delegates first, from the innermost outwards.
    ///
    /// Answers with the return value if the body returned when asked; None if it let the error pass, or had ended before.
    ///
    /// # Errors
    /// What the body raises instead; [`IgnoredClose`](crate::MisuseKind::IgnoredClose) if it yields, which leaves it suspended.
    pub fn close(self: Pin<&mut Self>) -> Result<Option<R>, Error<E>> {
        protocol::close(self.engine())
    }

    /// The state.
    pub fn state(&self) -> State {
        self.core.head().stage.get().into()
    }

    /// Where it waits, what it delegates to, what it shows.
    pub fn view(&self) -> View<'_> {
        View::of(self.core.head())
    }
}

impl<'env, Y, S: Unsent, R, E, F, Fut> Step for Coroutine<'env, Y, S, R, E, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<R, Error<E>>>,
{
    type Yield = Y;
    type Send = S;
    type Return = R;
    type Error = Error<E>;

    fn step(self: Pin<&mut Self>, resume: Resume<S, Error<E>>) -> Stepped<Y, R, Error<E>> {
        protocol::step(self.engine(), resume)
    }

    fn close(self: Pin<&mut Self>) -> Result<Option<R>, Error<E>> {
        protocol::close(self.engine())
    }

    fn view(&self) -> View<'_> {
        self.view()
    }
}

// SAFETY: the core is pinned with the coroutine, at one address, and dropped with it only.
unsafe impl<'env, Y, S, R, E, F, Fut> Chained<Y, Received<S, E>>
    for Coroutine<'env, Y, S, R, E, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<R, Error<E>>>,
{
    type Outcome = Result<R, Error<E>>;

    fn frame(self: Pin<&mut Self>) -> Chain {
        Chain(self.engine().whole())
    }

    fn take_outcome(self: Pin<&mut Self>) -> Option<Self::Outcome> {
        self.engine().take_finished()
    }
}

impl<'env, Y, S, R, E, F, Fut> fmt::Debug for Coroutine<'env, Y, S, R, E, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<R, Error<E>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Coroutine");
        self.view().fields(&mut out);
        out.finish()
    }
}

/// A coroutine of any body, in one block of the heap.
///
/// It may be moved, stored and returned from functions, and delegated to recursively. `M` is [`Sendable`] where it was
/// made by [`boxed_send`](Coroutine::boxed_send). The methods are those of [`Coroutine`].
#[must_use = "a coroutine does nothing until it is stepped"]
pub struct BoxCoroutine<'a, Y, S = (), R = (), E = Infallible, M = Local> {
    block: Block<'a, Y, Received<S, E>, Result<R, Error<E>>>,
    _marker: PhantomData<M>,
}

// SAFETY: made of a coroutine that is Send, by `boxed_send`.
unsafe impl<Y: Send, S: Send, R: Send, E: Send> Send for BoxCoroutine<'_, Y, S, R, E, Sendable> {}

impl<Y, S, R, E, M> Unpin for BoxCoroutine<'_, Y, S, R, E, M> {}

impl<'a, Y, S, R, E, M> BoxCoroutine<'a, Y, S, R, E, M> {
    #[inline]
    pub(crate) fn engine(&mut self) -> Pin<&mut Block<'a, Y, Received<S, E>, Result<R, Error<E>>>> {
        Pin::new(&mut self.block)
    }

    /// Runs a new coroutine to its first yield; see [`Coroutine::start`].
    ///
    /// # Errors
    /// As there.
    pub fn start(&mut self) -> Stepped<Y, R, Error<E>> {
        protocol::start(self.engine())
    }

    /// Goes on with nothing sent, starting the body if need be; see [`Coroutine::next`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Stepped<Y, R, Error<E>>
    where
        S: Unsent,
    {
        protocol::next(self.engine())
    }

    /// Sends a value to the yield where the body waits; see [`Coroutine::send`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&mut self, value: S) -> Stepped<Y, R, Error<E>> {
        protocol::send(self.engine(), value)
    }

    /// Raises an error at the yield where the body waits; see [`Coroutine::throw`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn throw(&mut self, error: impl Into<Error<E>>) -> Stepped<Y, R, Error<E>> {
        protocol::throw(self.engine(), error.into())
    }

    /// Asks the body to end; see [`Coroutine::close`].
    ///
    /// # Errors
    /// As there.
    pub fn close(&mut self) -> Result<Option<R>, Error<E>> {
        protocol::close(self.engine())
    }

    /// The state.
    pub fn state(&self) -> State {
        self.block.head().stage.get().into()
    }

    /// Where it waits, what it delegates to, what it shows.
    pub fn view(&self) -> View<'_> {
        View::of(self.block.head())
    }
}

impl<Y, S: Unsent, R, E, M> Step for BoxCoroutine<'_, Y, S, R, E, M> {
    type Yield = Y;
    type Send = S;
    type Return = R;
    type Error = Error<E>;

    fn step(self: Pin<&mut Self>, resume: Resume<S, Error<E>>) -> Stepped<Y, R, Error<E>> {
        protocol::step(self.get_mut().engine(), resume)
    }

    fn close(self: Pin<&mut Self>) -> Result<Option<R>, Error<E>> {
        protocol::close(self.get_mut().engine())
    }

    fn view(&self) -> View<'_> {
        self.view()
    }
}

// SAFETY: the block is on the heap, at one address, and freed with its owner only.
unsafe impl<Y, S, R, E, M> Chained<Y, Received<S, E>> for BoxCoroutine<'_, Y, S, R, E, M> {
    type Outcome = Result<R, Error<E>>;

    fn frame(self: Pin<&mut Self>) -> Chain {
        Chain(self.get_mut().engine().whole())
    }

    fn take_outcome(self: Pin<&mut Self>) -> Option<Self::Outcome> {
        self.get_mut().engine().take_finished()
    }
}

impl<Y, S, R, E, M> fmt::Debug for BoxCoroutine<'_, Y, S, R, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("BoxCoroutine");
        self.view().fields(&mut out);
        out.finish()
    }
}
