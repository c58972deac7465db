//! A body of unknown type in one block of the heap, behind one pointer.
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::Context;

use crate::body::{Core, Engine, Event, event, step_erased};
use crate::driver;
use crate::frame::{Frame, Head};
use crate::handle::Handle;
use crate::input::{Input, Outcome};
use crate::pool::{Pool, Pooled};

/// Owns the block of a boxed generator or coroutine.
pub(crate) struct Block<'a, Y, I, T> {
    head: NonNull<Head>,
    // Invariant in the values; what the body borrows lives for 'a. A raw pointer keeps it from being Send by itself.
    _holds: PhantomData<(&'a (), *mut (Frame<Y, I>, T))>,
}

// The block stays where it is when the owner moves.
impl<Y, I, T> Unpin for Block<'_, Y, I, T> {}

impl<'a, Y, I: Input, T: Outcome<I>> Block<'a, Y, I, T> {
    #[inline]
    pub(crate) fn new<'env: 'a, F, Fut>(core: Core<'env, Y, I, T, F, Fut>) -> Self
    where
        Y: 'a,
        I: 'a,
        T: 'a,
        F: FnOnce(Handle<'env, 'env, Y, I>) -> Fut + 'a,
        Fut: Future<Output = T> + 'a,
    {
        Self { head: Core::on_heap(core.into_start()).cast(), _holds: PhantomData }
    }

    #[inline]
    pub(crate) fn pooled<'env: 'a, F, Fut>(core: Core<'env, Y, I, T, F, Fut>, pool: &Pool) -> Self
    where
        Y: 'a,
        I: 'a,
        T: 'a,
        F: FnOnce(Handle<'env, 'env, Y, I>) -> Fut + 'a,
        Fut: Future<Output = T> + 'a,
    {
        Self { head: Pooled::place(core.into_start(), pool).cast(), _holds: PhantomData }
    }
}

impl<Y, I, T> Engine<Y, I, T> for Block<'_, Y, I, T> {
    #[inline]
    fn whole(self: Pin<&mut Self>) -> NonNull<Head> {
        self.head
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: the block is owned.
        unsafe { self.head.as_ref() }
    }

    #[inline(always)]
    fn step(self: Pin<&mut Self>, put: impl FnOnce(&Frame<Y, I>)) -> Event<Y, T> {
        // SAFETY: the block is pinned by being on the heap, and held exclusively; callers step no closed coroutine. All
        // frames of the chain have the same types of value; the root's result is a T.
        unsafe { step_erased(self.head, Head::innermost(self.head), put) }
    }

    fn advance(
        self: Pin<&mut Self>,
        cx: Option<&mut Context<'_>>,
        closing: &mut Option<NonNull<Head>>,
    ) -> Event<Y, T> {
        // SAFETY: as in `step`.
        unsafe { event::<Y, I, T>(self.head, driver::run(self.head, cx, closing)) }
    }
}

impl<Y, I, T> Drop for Block<'_, Y, I, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the block is owned, and used no more; the vtable knows how it was made.
        unsafe { (self.head.as_ref().vtable.free)(self.head) }
    }
}
