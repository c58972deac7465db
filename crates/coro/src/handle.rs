//! The handle that a body yields through, and the futures of its yields.
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::future::Future;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

use crate::body::Invariant;
use crate::delegate::{Delegate, YieldFrom, YieldFromRef};
use crate::error::Error;
use crate::frame::Frame;
use crate::input::{Input, Iterated};
use crate::step::Step;

/// What a generator's body yields through: a [`Handle`] whose yields receive nothing.
pub type Yielder<'g, 'env, Y> = Handle<'g, 'env, Y, ()>;

/// What a coroutine's body yields through: a [`Handle`] whose yields receive a value that was sent, or an error that was
/// thrown.
pub type Co<'g, 'env, Y, S = (), E = core::convert::Infallible> =
    Handle<'g, 'env, Y, Result<S, Error<E>>>;

/// The body's end of its generator or coroutine.
///
/// `'g` is the time that the body runs: a body cannot give its handle away. `'env` outlives the body: what is delegated
/// to ([`yield_from`](Self::yield_from)) may borrow for `'env`, not from the body's own variables.
pub struct Handle<'g, 'env: 'g, Y, I> {
    frame: NonNull<Frame<Y, I>>,
    _brand: PhantomData<(Invariant<'g>, Invariant<'env>)>,
}

// SAFETY: the handle reaches the slot (Y, I) and the frame's cells, and only while its body is polled; whoever has it in
// another thread has taken it from the body, which is polled by the one driver and blocked until the handle's borrow ends.
unsafe impl<Y: Send, I: Send> Send for Handle<'_, '_, Y, I> {}

impl<'env, Y, I: Input> Handle<'_, 'env, Y, I> {
    #[inline]
    pub(crate) fn new(frame: NonNull<Frame<Y, I>>) -> Self {
        Self { frame, _brand: PhantomData }
    }

    #[inline]
    fn frame(&self) -> &Frame<Y, I> {
        // SAFETY: the frame is pinned beside the body, which the handle cannot leave.
        unsafe { self.frame.as_ref() }
    }

    /// Hands a value to whoever steps this body, and waits for the next step.
    ///
    /// Awaited at once, as it should be, it gives what the step brings: nothing in a generator, the value sent or the error thrown in a coroutine.
    #[inline]
    #[track_caller]
    pub fn yield_(&mut self, value: Y) -> Yield<'_, Y, I> {
        self.frame().put_out(value, Location::caller());
        Yield { frame: Some(self.frame), _borrow: PhantomData }
    }

    /// Yields every item of an iterator, which may borrow from the body.
    ///
    /// In a coroutine an error that is thrown, and a real value that is sent, end the delegation: an iterator can receive
    /// neither.
    #[track_caller]
    pub fn yield_all<It>(&mut self, items: It) -> YieldAll<'_, Y, I, It::IntoIter>
    where
        I: Iterated,
        It: IntoIterator<Item = Y>,
    {
        let at = Location::caller();
        YieldAll {
            frame: self.frame,
            items: items.into_iter(),
            at,
            waits: false,
            _borrow: PhantomData,
        }
    }

    /// Delegates to another generator or coroutine with the same types of value: Python's `yield from`.
    ///
    /// Its yields go to whoever steps this body, and what is sent or thrown goes to it, at the cost of one yield however
    /// long the chain of delegations is. Awaited, it gives the delegate's return value: `Option<R>` in a generator (`None`
    /// if the delegate had ended before), `Result<R, Error<E>>` in a coroutine.
    ///
    /// A delegate that borrows from the body's own variables is refused here: use [`yield_all`](Self::yield_all) or
    /// [`yield_from_ref`](Self::yield_from_ref).
    ///
    /// # Errors
    /// What the delegate raises. [`AlreadyStarted`](crate::MisuseKind::AlreadyStarted) for a coroutine that waits for a
    /// value, [`Exhausted`](crate::MisuseKind::Exhausted) for one that has ended.
    #[track_caller]
    pub fn yield_from<C>(&mut self, delegate: C) -> YieldFrom<'_, Y, I, C>
    where
        C: Delegate<Y, I> + 'env,
    {
        YieldFrom::new(self.frame, delegate, None, Location::caller())
    }

    /// Shows a value under a name to whoever looks at the suspended body, until the next value of that name.
    pub fn expose(&mut self, name: &'static str, value: impl Debug) {
        let text = format!("{value:?}");
        // SAFETY: views borrow the whole coroutine, so that none is alive while the body runs; `text` was made before, so
        // that no foreign code runs while the reference is alive.
        let exposed = unsafe { &mut *self.frame().head.exposed.get() };
        let exposed = exposed.get_or_insert_with(|| Box::new(Vec::new()));
        match exposed.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = text,
            None => exposed.push((name, text)),
        }
    }
}

impl<'env, Y, S, E> Co<'_, 'env, Y, S, E> {
    /// As [`yield_from`](Self::yield_from), for a coroutine that has started: the value goes to the yield where it waits.
    ///
    /// # Errors
    /// As `yield_from`; [`NotStarted`](crate::MisuseKind::NotStarted) if it had not started.
    #[track_caller]
    pub fn yield_from_with<C>(
        &mut self,
        delegate: C,
        value: S,
    ) -> YieldFrom<'_, Y, Result<S, Error<E>>, C>
    where
        C: Delegate<Y, Result<S, Error<E>>> + 'env,
    {
        YieldFrom::new(self.frame, delegate, Some(Ok(value)), Location::caller())
    }

    /// Delegates to anything that can be stepped, which stays the body's and may borrow from it.
    ///
    /// It is stepped through this body, so that a yield through a chain of d such delegations costs d steps.
    #[track_caller]
    pub fn yield_from_ref<'a, C>(
        &'a mut self,
        delegate: Pin<&'a mut C>,
    ) -> YieldFromRef<'a, Y, S, E, C>
    where
        C: Step<Yield = Y, Send = S, Error = Error<E>> + ?Sized,
    {
        YieldFromRef::new(self.frame, delegate, Location::caller())
    }
}

/// A yield under way; see [`Handle::yield_`].
///
/// The value is handed over when the body next waits; dropped before that, the future takes it back.
#[must_use = "a yield does nothing unless it is awaited"]
pub struct Yield<'a, Y, I> {
    /// None once it is done, so that dropping it needs no look at the frame.
    frame: Option<NonNull<Frame<Y, I>>>,
    _borrow: PhantomData<&'a mut ()>,
}

// SAFETY: as for the handle, which it borrows.
unsafe impl<Y: Send, I: Send> Send for Yield<'_, Y, I> {}

impl<Y, I: Input> Future for Yield<'_, Y, I> {
    type Output = I;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<I> {
        let Some(frame) = self.frame else { return Poll::Pending };
        // SAFETY: it borrows the handle, whose frame is pinned beside the body.
        let poll = unsafe { frame.as_ref() }.poll_yield();
        if poll.is_ready() {
            self.frame = None;
        }
        poll
    }
}

impl<Y, I> Drop for Yield<'_, Y, I> {
    #[inline]
    fn drop(&mut self) {
        if let Some(frame) = self.frame {
            // SAFETY: as in `poll`.
            unsafe { frame.as_ref() }.withdraw();
        }
    }
}

/// The yields of an iterator's items; see [`Handle::yield_all`].
#[must_use = "a delegation does nothing unless it is awaited"]
pub struct YieldAll<'a, Y, I, It> {
    frame: NonNull<Frame<Y, I>>,
    items: It,
    at: &'static Location<'static>,
    waits: bool,
    _borrow: PhantomData<&'a mut ()>,
}

// SAFETY: as for the handle, which it borrows.
unsafe impl<Y: Send, I: Send, It: Send> Send for YieldAll<'_, Y, I, It> {}

// The iterator is only used through `&mut`, never pinned.
impl<Y, I, It> Unpin for YieldAll<'_, Y, I, It> {}

impl<Y, I: Iterated, It: Iterator<Item = Y>> Future for YieldAll<'_, Y, I, It> {
    type Output = I::Done;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<I::Done> {
        let this = &mut *self;
        // SAFETY: it borrows the handle, whose frame is pinned beside the body.
        let frame = unsafe { this.frame.as_ref() };
        loop {
            if this.waits {
                let Poll::Ready(input) = frame.poll_yield() else { return Poll::Pending };
                if let Err(end) = input.go_on(Some(this.at)) {
                    return Poll::Ready(end);
                }
            }
            let Some(item) = this.items.next() else { return Poll::Ready(I::done()) };
            frame.put_out(item, this.at);
            this.waits = true;
        }
    }
}

impl<Y, I, It> Drop for YieldAll<'_, Y, I, It> {
    fn drop(&mut self) {
        if self.waits {
            // SAFETY: as in `poll`.
            unsafe { self.frame.as_ref() }.withdraw();
        }
    }
}
