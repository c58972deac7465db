//! Delegation: the futures of `yield_from`.
use core::future::Future;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

use crate::error::{Error, MisuseKind};
use crate::frame::{Frame, Head, Signal};
use crate::input::{Input, Outcome};
use crate::state::Stage;
use crate::step::{Progress, Resume, Step};

/// A generator or coroutine that [`yield_from`](crate::Handle::yield_from) can run: pinned in place, or boxed.
///
/// Sealed: the chain of delegations is made of this crate's frames.
pub trait Delegate<Y, I>: Chained<Y, I> {}

impl<Y, I, C: Chained<Y, I>> Delegate<Y, I> for C {}

/// The frame of a delegate.
///
/// # Safety
/// `frame` is a whole frame with values `Y` and `I`, the same at each call, alive until `self` is dropped, and dropped or
/// freed by nothing else. `take_outcome` takes the result out of that frame.
pub unsafe trait Chained<Y, I> {
    #[doc(hidden)]
    type Outcome: Outcome<I>;
    #[doc(hidden)]
    fn frame(self: Pin<&mut Self>) -> Chain;
    #[doc(hidden)]
    fn take_outcome(self: Pin<&mut Self>) -> Option<Self::Outcome>;
}

/// A frame's address, opaque.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Chain(pub(crate) NonNull<Head>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Waiting,
    Done,
}

/// A delegation under way; see [`Handle::yield_from`](crate::Handle::yield_from).
#[must_use = "a delegation does nothing unless it is awaited"]
pub struct YieldFrom<'a, Y, I, C> {
    frame: NonNull<Frame<Y, I>>,
    first: Option<I>,
    at: &'static Location<'static>,
    phase: Phase,
    delegate: C,
    _borrow: PhantomData<&'a mut ()>,
}

// SAFETY: as for the handle, which it borrows; the delegate is inside.
unsafe impl<Y: Send, I: Send, C: Send> Send for YieldFrom<'_, Y, I, C> {}

impl<Y, I, C> YieldFrom<'_, Y, I, C> {
    pub(crate) fn new(
        frame: NonNull<Frame<Y, I>>,
        delegate: C,
        first: Option<I>,
        at: &'static Location<'static>,
    ) -> Self {
        Self { frame, first, at, phase: Phase::New, delegate, _borrow: PhantomData }
    }
}

/// The fields of a [`YieldFrom`] without its delegate.
struct Waits<'p, Y, I> {
    frame: NonNull<Frame<Y, I>>,
    first: &'p mut Option<I>,
    at: &'p &'static Location<'static>,
    phase: &'p mut Phase,
}

impl<Y, I: Input, C: Delegate<Y, I>> Future for YieldFrom<'_, Y, I, C> {
    type Output = <C::Outcome as Outcome<I>>::Value;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the delegate is pinned with `self`: it is never moved out, and `YieldFrom` is `Unpin` only if the delegate
        // is. The other fields are not pinned.
        let (this, mut delegate) = unsafe {
            let Self { frame, first, at, phase, delegate, .. } = self.get_unchecked_mut();
            (Waits { frame: *frame, first, at, phase }, Pin::new_unchecked(delegate))
        };
        // SAFETY: it borrows the handle, whose frame is pinned beside the body.
        let frame = unsafe { this.frame.as_ref() };
        match *this.phase {
            Phase::New => {
                *this.phase = Phase::Done;
                frame.head.at.set(Some(*this.at));
                if frame.has_raise()
                    && let Some(input) = frame.take_input()
                {
                    return Poll::Ready(C::Outcome::raised(input));
                }
                let Chain(child) = delegate.as_mut().frame();
                // SAFETY: the delegate's frame is alive, and of the types that `Chained` says.
                let (stage, innermost) =
                    unsafe { (child.as_ref().stage.get(), Head::innermost(child)) };
                let refused = match (stage, this.first.take()) {
                    (Stage::Created, None) => None,
                    (Stage::Created, Some(_)) => Some(MisuseKind::NotStarted),
                    (Stage::Suspended, first) => match first.or_else(I::first) {
                        Some(first) => {
                            // SAFETY: as above; the frames of one chain have the same types of value.
                            unsafe { innermost.cast::<Frame<Y, I>>().as_ref() }.resume(first);
                            None
                        }
                        None => Some(MisuseKind::AlreadyStarted),
                    },
                    (Stage::Finished | Stage::Closed, _) => Some(MisuseKind::Exhausted),
                };
                if let Some(kind) = refused {
                    return Poll::Ready(C::Outcome::unusable(kind, Some(*this.at)));
                }
                frame.head.delegate.set(Some(child));
                frame.head.signal.set(Signal::Delegating);
                *this.phase = Phase::Waiting;
                Poll::Pending
            }
            Phase::Waiting => match frame.head.signal.get() {
                Signal::Returned => {
                    *this.phase = Phase::Done;
                    frame.head.signal.set(Signal::Idle);
                    Poll::Ready(match delegate.take_outcome() {
                        Some(outcome) => outcome.into_value(),
                        None => C::Outcome::unusable(MisuseKind::Exhausted, Some(*this.at)),
                    })
                }
                Signal::Resumed => match frame.take_input() {
                    Some(input) => {
                        *this.phase = Phase::Done;
                        Poll::Ready(C::Outcome::raised(input))
                    }
                    None => Poll::Pending,
                },
                _ => Poll::Pending,
            },
            Phase::Done => Poll::Pending,
        }
    }
}

impl<Y, I, C> Drop for YieldFrom<'_, Y, I, C> {
    fn drop(&mut self) {
        if self.phase == Phase::Waiting {
            // SAFETY: it borrows the handle, whose frame is pinned beside the body.
            let head = unsafe { &self.frame.as_ref().head };
            // Cancelled before the driver has seen it, or dropped with its body, whose chain the driver has cut.
            if matches!(head.signal.get(), Signal::Delegating | Signal::Linked | Signal::Returned) {
                head.signal.set(Signal::Idle);
                head.delegate.set(None);
            }
        }
    }
}

/// A delegation, step by step, to something that the body keeps; see
/// [`Handle::yield_from_ref`](crate::Handle::yield_from_ref).
#[must_use = "a delegation does nothing unless it is awaited"]
pub struct YieldFromRef<'a, Y, S, E, C: ?Sized> {
    frame: NonNull<Frame<Y, Result<S, Error<E>>>>,
    at: &'static Location<'static>,
    waits: bool,
    delegate: Pin<&'a mut C>,
}

// SAFETY: as for the handle, which it borrows.
unsafe impl<Y: Send, S: Send, E: Send, C: Send + ?Sized> Send for YieldFromRef<'_, Y, S, E, C> {}

impl<'a, Y, S, E, C: ?Sized> YieldFromRef<'a, Y, S, E, C> {
    pub(crate) fn new(
        frame: NonNull<Frame<Y, Result<S, Error<E>>>>,
        delegate: Pin<&'a mut C>,
        at: &'static Location<'static>,
    ) -> Self {
        Self { frame, at, waits: false, delegate }
    }
}

impl<Y, S, E, C> Future for YieldFromRef<'_, Y, S, E, C>
where
    C: Step<Yield = Y, Send = S, Error = Error<E>> + ?Sized,
{
    type Output = Result<C::Return, Error<E>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // SAFETY: it borrows the handle, whose frame is pinned beside the body.
        let frame = unsafe { this.frame.as_ref() };
        let mut resume = Resume::Next;
        loop {
            if this.waits {
                resume = match frame.poll_yield() {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(value)) => Resume::Send(value),
                    Poll::Ready(Err(Error::Exit)) => {
                        return Poll::Ready(Err(match this.delegate.as_mut().close() {
                            Ok(_) => Error::Exit,
                            Err(error) => error,
                        }));
                    }
                    Poll::Ready(Err(error)) => Resume::Throw(error),
                };
            }
            this.waits = false;
            match this.delegate.as_mut().step(resume) {
                Ok(Progress::Yielded(value)) => frame.put_out(value, this.at),
                Ok(Progress::Returned(value)) => return Poll::Ready(Ok(value)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            this.waits = true;
            resume = Resume::Next;
        }
    }
}

impl<Y, S, E, C: ?Sized> Drop for YieldFromRef<'_, Y, S, E, C> {
    fn drop(&mut self) {
        if self.waits {
            // SAFETY: as in `poll`.
            unsafe { self.frame.as_ref() }.withdraw();
        }
    }
}
