//! Generators: bodies that yield values to whoever iterates over them.
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::pin::Pin;

use crate::block::Block;
use crate::body::{Core, Engine, Event};
use crate::delegate::{Chain, Chained};
use crate::error::Error;
use crate::handle::{Handle, Yielder};
use crate::pool::Pool;
use crate::protocol::{clear, plain};
use crate::state::State;
use crate::step::{Resume, Step, Stepped};
use crate::view::View;
use crate::{Local, Sendable};

/// Makes a generator of a body, an async closure or function that yields through its [`Yielder`].
///
/// Nothing runs until the first item is asked for. The generator is pinned to be used: on the stack with [`core::pin::pin!`],
/// which allocates nothing, or on the heap with [`boxed`](Generator::boxed).
///
/// ```
/// use boros_coro::generator;
/// use std::pin::pin;
///
/// let squares = pin!(generator(async |mut co| {
///     for n in 1..=5 {
///         co.yield_(n * n).await;
///     }
/// }));
/// assert_eq!(squares.collect::<Vec<u32>>(), [1, 4, 9, 16, 25]);
/// ```
pub fn generator<'env, Y, R, F, Fut>(body: F) -> Generator<'env, Y, R, F, Fut>
where
    F: for<'g> AsyncFnOnce(Yielder<'g, 'env, Y>) -> R + FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    Generator { core: Core::new(body) }
}

/// A generator: a body that is run from yield to yield, as an iterator over what it yields.
///
/// Made by [`generator`]. It is `Send` when its body is. Dropped or closed while it waits at a yield, it drops the body's
/// variables there, which is a body's way to clean up.
#[must_use = "a generator does nothing until it is iterated over"]
pub struct Generator<'env, Y, R, F, Fut> {
    core: Core<'env, Y, (), R, F, Fut>,
}

impl<'env, Y, R, F, Fut> Generator<'env, Y, R, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    #[inline]
    fn engine(self: Pin<&mut Self>) -> Pin<&mut Core<'env, Y, (), R, F, Fut>> {
        // SAFETY: the core is pinned with the generator.
        unsafe { self.map_unchecked_mut(|this| &mut this.core) }
    }

    /// Moves it to one block of the heap; see [`BoxGenerator`].
    pub fn boxed<'a>(self) -> BoxGenerator<'a, Y, R>
    where
        Self: 'a,
        'env: 'a,
        Y: 'a,
        R: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxGenerator { block: Block::new(self.core), _marker: PhantomData }
    }

    /// As [`boxed`](Self::boxed), for a body that may be moved between threads.
    pub fn boxed_send<'a>(self) -> BoxGenerator<'a, Y, R, Sendable>
    where
        Self: Send + 'a,
        'env: 'a,
        Y: 'a,
        R: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxGenerator { block: Block::new(self.core), _marker: PhantomData }
    }

    /// As [`boxed`](Self::boxed), in a block that is taken from the pool and goes back to it.
    pub fn boxed_in<'a>(self, pool: &Pool) -> BoxGenerator<'a, Y, R>
    where
        Self: 'a,
        'env: 'a,
        Y: 'a,
        R: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxGenerator { block: Block::pooled(self.core, pool), _marker: PhantomData }
    }

    /// Runs to the next yield or the end, and tells which.
    ///
    /// # Errors
    /// [`Exhausted`](crate::MisuseKind::Exhausted) after the end, [`Stalled`](crate::MisuseKind::Stalled) if the body awaits
    /// something other than its yields.
    pub fn resume(self: Pin<&mut Self>) -> Stepped<Y, R, Error<Infallible>> {
        plain::next(self.engine())
    }

    /// Ends it where it waits: its variables are dropped, the innermost delegate's first.
    pub fn close(self: Pin<&mut Self>) {
        clear(self.engine());
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

impl<'env, Y, R, F, Fut> Iterator for Pin<&mut Generator<'env, Y, R, F, Fut>>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    type Item = Y;

    /// The next yielded value; None at the end, for good.
    #[inline]
    fn next(&mut self) -> Option<Y> {
        match plain::item(self.as_mut().engine()) {
            Some(Event::Yielded(value)) => Some(value),
            _ => None,
        }
    }
}

impl<'env, Y, R, F, Fut> FusedIterator for Pin<&mut Generator<'env, Y, R, F, Fut>>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
}

impl<'env, Y, R, F, Fut> Step for Generator<'env, Y, R, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    type Yield = Y;
    type Send = ();
    type Return = R;
    type Error = Error<Infallible>;

    fn step(self: Pin<&mut Self>, resume: Resume<(), Self::Error>) -> Stepped<Y, R, Self::Error> {
        plain::step(self.engine(), resume)
    }

    fn close(self: Pin<&mut Self>) -> Result<Option<R>, Self::Error> {
        Generator::close(self);
        Ok(None)
    }

    fn view(&self) -> View<'_> {
        self.view()
    }
}

// SAFETY: the core is pinned with the generator, at one address, and dropped with it only.
unsafe impl<'env, Y, R, F, Fut> Chained<Y, ()> for Generator<'env, Y, R, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    type Outcome = R;

    fn frame(self: Pin<&mut Self>) -> Chain {
        Chain(self.engine().whole())
    }

    fn take_outcome(self: Pin<&mut Self>) -> Option<R> {
        self.engine().take_finished()
    }
}

impl<'env, Y, R, F, Fut> fmt::Debug for Generator<'env, Y, R, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, ()>) -> Fut,
    Fut: Future<Output = R>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Generator");
        self.view().fields(&mut out);
        out.finish()
    }
}

/// A generator of any body, in one block of the heap.
///
/// It may be moved, stored and returned from functions, and delegated to recursively. `M` is [`Sendable`] where it was
/// made by [`boxed_send`](Generator::boxed_send).
///
/// ```
/// use boros_coro::{BoxGenerator, generator};
///
/// struct Node(Option<Box<Node>>, u32, Option<Box<Node>>);
///
/// fn in_order(node: &Node) -> BoxGenerator<'_, u32> {
///     generator(async move |mut co| {
///         if let Some(left) = &node.0 {
///             co.yield_from(in_order(left)).await;
///         }
///         co.yield_(node.1).await;
///         if let Some(right) = &node.2 {
///             co.yield_from(in_order(right)).await;
///         }
///     })
///     .boxed()
/// }
///
/// let leaf = |value| Some(Box::new(Node(None, value, None)));
/// let tree = Node(leaf(1), 2, leaf(3));
/// assert_eq!(in_order(&tree).collect::<Vec<_>>(), [1, 2, 3]);
/// ```
#[must_use = "a generator does nothing until it is iterated over"]
pub struct BoxGenerator<'a, Y, R = (), M = Local> {
    block: Block<'a, Y, (), R>,
    _marker: PhantomData<M>,
}

// SAFETY: made of a generator that is Send, by `boxed_send`.
unsafe impl<Y: Send, R: Send> Send for BoxGenerator<'_, Y, R, Sendable> {}

impl<Y, R, M> Unpin for BoxGenerator<'_, Y, R, M> {}

impl<'a, Y, R, M> BoxGenerator<'a, Y, R, M> {
    #[inline]
    fn engine(&mut self) -> Pin<&mut Block<'a, Y, (), R>> {
        Pin::new(&mut self.block)
    }

    /// Runs to the next yield or the end, and tells which.
    ///
    /// # Errors
    /// [`Exhausted`](crate::MisuseKind::Exhausted) after the end, [`Stalled`](crate::MisuseKind::Stalled) if the body awaits
    /// something other than its yields.
    pub fn resume(&mut self) -> Stepped<Y, R, Error<Infallible>> {
        plain::next(self.engine())
    }

    /// Ends it where it waits: its variables are dropped, the innermost delegate's first.
    pub fn close(&mut self) {
        clear(self.engine());
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

impl<Y, R, M> Iterator for BoxGenerator<'_, Y, R, M> {
    type Item = Y;

    /// The next yielded value; None at the end, for good.
    #[inline]
    fn next(&mut self) -> Option<Y> {
        match plain::item(self.engine()) {
            Some(Event::Yielded(value)) => Some(value),
            _ => None,
        }
    }
}

impl<Y, R, M> FusedIterator for BoxGenerator<'_, Y, R, M> {}

impl<Y, R, M> Step for BoxGenerator<'_, Y, R, M> {
    type Yield = Y;
    type Send = ();
    type Return = R;
    type Error = Error<Infallible>;

    fn step(self: Pin<&mut Self>, resume: Resume<(), Self::Error>) -> Stepped<Y, R, Self::Error> {
        plain::step(self.get_mut().engine(), resume)
    }

    fn close(self: Pin<&mut Self>) -> Result<Option<R>, Self::Error> {
        BoxGenerator::close(self.get_mut());
        Ok(None)
    }

    fn view(&self) -> View<'_> {
        self.view()
    }
}

// SAFETY: the block is on the heap, at one address, and freed with its owner only.
unsafe impl<Y, R, M> Chained<Y, ()> for BoxGenerator<'_, Y, R, M> {
    type Outcome = R;

    fn frame(self: Pin<&mut Self>) -> Chain {
        Chain(self.get_mut().engine().whole())
    }

    fn take_outcome(self: Pin<&mut Self>) -> Option<R> {
        self.get_mut().engine().take_finished()
    }
}

impl<Y, R, M> fmt::Debug for BoxGenerator<'_, Y, R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("BoxGenerator");
        self.view().fields(&mut out);
        out.finish()
    }
}
