//! A body pinned with its frame: one block, the frame first.
use alloc::alloc::{alloc, dealloc, handle_alloc_error};
use core::alloc::Layout;
use core::any::type_name;
use core::cell::{Cell, UnsafeCell};
use core::future::Future;
use core::marker::{PhantomData, PhantomPinned};
use core::mem::{self, ManuallyDrop, offset_of};
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};

use crate::driver::{self, CloseOnPanic, Round};
use crate::frame::{Frame, Head, VTable};
use crate::handle::Handle;
use crate::input::{Input, Outcome};
use crate::state::Stage;

/// A lifetime that can be neither shortened nor lengthened.
pub(crate) type Invariant<'a> = PhantomData<Cell<&'a ()>>;

/// A generator kind that the driver can run: a body in place, or the block that holds it.
pub(crate) trait Engine<Y, I, T> {
    /// The frame, with the provenance of the whole block.
    fn whole(self: Pin<&mut Self>) -> NonNull<Head>;

    /// The frame, to look at.
    fn head(&self) -> &Head;

    /// Has the frame that waits given its input, if there is one, and runs to the next yield, wait or end, with a waker that
    /// does nothing.
    ///
    /// A function puts the input into the frame, so that it is made where it is to be.
    fn step(self: Pin<&mut Self>, put: impl FnOnce(&Frame<Y, I>)) -> Event<Y, T>;

    /// As `step`, with a waker, and with a request to end on its way up the chain; see [`driver::run`].
    fn advance(
        self: Pin<&mut Self>,
        cx: Option<&mut Context<'_>>,
        closing: &mut Option<NonNull<Head>>,
    ) -> Event<Y, T>;

    /// The result of a body that has ended under another root.
    fn take_finished(self: Pin<&mut Self>) -> Option<T> {
        let root = self.whole();
        // SAFETY: the frame is a whole one, whose results are of type T.
        unsafe { take_finished(root) }
    }
}

/// What a step came to.
pub(crate) enum Event<Y, T> {
    Yielded(Y),
    Finished(T),
    Waiting,
}

/// What the block holds besides the frame; the frame's stage says which.
#[repr(C)]
union Storage<T, F, Fut> {
    start: ManuallyDrop<F>,
    run: ManuallyDrop<Fut>,
    result: ManuallyDrop<T>,
}

/// Frame and body. Nothing refers to it until it is pinned and stepped, so it may be moved before.
#[repr(C)]
pub(crate) struct Core<'env, Y, I, T, F, Fut> {
    frame: Frame<Y, I>,
    storage: UnsafeCell<Storage<T, F, Fut>>,
    _env: Invariant<'env>,
    _pinned: PhantomPinned,
}

// SAFETY: a suspended chain's pointers lead to frames that are owned by the bodies above them, so that they go where the
// body goes; everything else that is inside is one of these types. Exposed values are strings.
unsafe impl<Y: Send, I: Send, T: Send, F: Send, Fut: Send> Send for Core<'_, Y, I, T, F, Fut> {}

impl<'env, Y, I, T, F, Fut> Core<'env, Y, I, T, F, Fut>
where
    I: Input,
    T: Outcome<I>,
    F: FnOnce(Handle<'env, 'env, Y, I>) -> Fut,
    Fut: Future<Output = T>,
{
    const INLINE: &'static VTable = &VTable {
        name: type_name::<F>,
        poll: Self::poll_erased,
        clear: Self::clear,
        result: offset_of!(Self, storage),
        free: Self::free_nothing,
        report_close: Self::report_close,
        report_ignored: Self::report_ignored,
    };

    const BOXED: &'static VTable = &VTable { free: Self::free_box, ..*Self::INLINE };

    #[inline]
    pub(crate) fn new(start: F) -> Self {
        Self {
            frame: Frame::new(Self::INLINE),
            storage: UnsafeCell::new(Storage { start: ManuallyDrop::new(start) }),
            _env: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    /// The body's function, out of a block that has not been pinned: one that is still `Created`.
    #[inline]
    pub(crate) fn into_start(self) -> F {
        let this = ManuallyDrop::new(self);
        // SAFETY: stepping takes a pinned block, and a pinned one cannot be moved to here. Everything else that it holds is
        // empty.
        unsafe { ManuallyDrop::take(&mut (*this.storage.get()).start) }
    }

    /// A block of the heap, which its vtable's `free` gives back.
    #[inline]
    pub(crate) fn on_heap(start: F) -> NonNull<Self> {
        let layout = Layout::new::<Self>();
        // SAFETY: the layout is not of size zero: the block begins with a frame.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block.cast::<Self>()) else { handle_alloc_error(layout) };
        // SAFETY: the block was allocated for a `Self`.
        unsafe { Self::write(block, start, Self::BOXED) };
        block
    }

    /// Makes a new block in place, field by field: made elsewhere and copied, it would cost more than all the rest of a short
    /// generator's life.
    ///
    /// # Safety
    /// `block` is valid for writes of a `Self`, and its content may be overwritten.
    #[inline]
    pub(crate) unsafe fn write(block: NonNull<Self>, start: F, vtable: &'static VTable) {
        // SAFETY: the caller's promise; the storage's variants lie at its beginning. The other fields have no size.
        unsafe {
            Frame::write(&raw mut (*block.as_ptr()).frame, vtable);
            (&raw mut (*block.as_ptr()).storage).cast::<F>().write(start);
        }
    }

    pub(crate) const fn vtable_with(free: unsafe fn(NonNull<Head>)) -> VTable {
        VTable { free, ..*Self::INLINE }
    }

    /// Polls the body once, starting it if need be. When it ends, it is dropped and the stage is Closed.
    ///
    /// # Safety
    /// `this` is pinned, its body not being polled, its stage Created or Suspended.
    #[inline]
    unsafe fn poll_body(this: NonNull<Self>, cx: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the stage says what the storage holds, and is changed before anything that may panic, so that nothing
        // is dropped twice. The future is written in place and not moved until it is dropped in place.
        unsafe {
            let stage = &(*this.as_ptr()).frame.head.stage;
            let storage = (*this.as_ptr()).storage.get();
            if stage.get() == Stage::Created {
                stage.set(Stage::Closed);
                let start = ManuallyDrop::take(&mut (*storage).start);
                let future = start(Handle::new(this.cast()));
                (&raw mut (*storage).run).write(ManuallyDrop::new(future));
                stage.set(Stage::Suspended);
            }
            let future: *mut Fut = (&raw mut (*storage).run).cast();
            let poll = Pin::new_unchecked(&mut *future).poll(cx);
            if poll.is_ready() {
                stage.set(Stage::Closed);
                future.drop_in_place();
            }
            poll
        }
    }

    /// # Safety
    /// As `poll_body`; `this` was made from a pointer to a whole `Self`.
    unsafe fn poll_erased(this: NonNull<Head>, cx: Option<&mut Context<'_>>) -> Poll<()> {
        let this = this.cast::<Self>();
        let mut idle = Context::from_waker(Waker::noop());
        let cx = match cx {
            Some(cx) => cx,
            None => &mut idle,
        };
        // SAFETY: the caller's promise; storage is empty when the body has ended.
        unsafe {
            Self::poll_body(this, cx).map(|result| {
                let storage = (*this.as_ptr()).storage.get();
                (&raw mut (*storage).result).write(ManuallyDrop::new(result));
                (*this.as_ptr()).frame.head.stage.set(Stage::Finished);
            })
        }
    }

    unsafe fn clear(this: NonNull<Head>) {
        // SAFETY: the caller's promise of a whole `Self` whose body is not being polled; the stage says what there is.
        unsafe { clear_storage(this.cast::<Self>()) }
    }

    unsafe fn free_nothing(_: NonNull<Head>) {}

    unsafe fn free_box(this: NonNull<Head>) {
        // SAFETY: `on_heap` blocks were allocated with the layout of `Self`.
        unsafe { free_in_place(this.cast::<Self>(), |block, layout| dealloc(block, layout)) }
    }

    unsafe fn report_close(child: NonNull<Head>, parent: NonNull<Head>) {
        // SAFETY: the driver calls this for a finished child and a parent with the same types of value.
        unsafe {
            let result = take_finished::<T>(child);
            if let Some(input) = result.and_then(T::after_close) {
                parent.cast::<Frame<Y, I>>().as_ref().resume(input);
            }
        }
    }

    unsafe fn report_ignored(child: NonNull<Head>, parent: NonNull<Head>) {
        // SAFETY: the driver calls this for frames with the same types of value.
        unsafe {
            if let Some(input) = T::ignored_close(child.as_ref().at.get()) {
                parent.cast::<Frame<Y, I>>().as_ref().resume(input);
            }
        }
    }
}

/// Drops the value at `this` and gives its memory to `release`, also when a destructor panics.
///
/// # Safety
/// `this` is valid, not used afterwards, and `release` is the way to free it.
pub(crate) unsafe fn free_in_place<V>(this: NonNull<V>, release: unsafe fn(*mut u8, Layout)) {
    struct Release<V>(NonNull<V>, unsafe fn(*mut u8, Layout));
    impl<V> Drop for Release<V> {
        fn drop(&mut self) {
            // SAFETY: the caller of `free_in_place` gave a way to free the block; it is freed once, here.
            unsafe { (self.1)(self.0.as_ptr().cast(), Layout::new::<V>()) }
        }
    }
    let release = Release(this, release);
    // SAFETY: the caller's promise.
    unsafe { this.drop_in_place() };
    drop(release);
}

/// Takes the result of a finished body from its storage.
///
/// # Safety
/// `this` is a whole frame, made for results of type `T`.
#[inline]
pub(crate) unsafe fn take_finished<T>(this: NonNull<Head>) -> Option<T> {
    // SAFETY: Finished says that a result is there; Closed, that it is gone. The vtable says where it lies.
    unsafe {
        if this.as_ref().stage.get() != Stage::Finished {
            return None;
        }
        this.as_ref().stage.set(Stage::Closed);
        Some(this.byte_add(this.as_ref().vtable.result).cast::<T>().read())
    }
}

/// # Safety
/// `this` is whole, pinned if it was started, and its body is not being polled.
unsafe fn clear_storage<Y, I, T, F, Fut>(this: NonNull<Core<'_, Y, I, T, F, Fut>>) {
    // SAFETY: the stage says what the storage holds; being Closed, it is not dropped again.
    unsafe {
        let storage = (*this.as_ptr()).storage.get();
        match (*this.as_ptr()).frame.head.stage.replace(Stage::Closed) {
            Stage::Created => ManuallyDrop::drop(&mut (*storage).start),
            Stage::Suspended => ManuallyDrop::drop(&mut (*storage).run),
            Stage::Finished => ManuallyDrop::drop(&mut (*storage).result),
            Stage::Closed => {}
        }
    }
}

impl<'env, Y, I, T, F, Fut> Engine<Y, I, T> for Core<'env, Y, I, T, F, Fut>
where
    I: Input,
    T: Outcome<I>,
    F: FnOnce(Handle<'env, 'env, Y, I>) -> Fut,
    Fut: Future<Output = T>,
{
    #[inline]
    fn whole(self: Pin<&mut Self>) -> NonNull<Head> {
        // SAFETY: nothing is moved out of the pointer.
        NonNull::from(unsafe { self.get_unchecked_mut() }).cast()
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.frame.head
    }

    // The body in place is polled without the vtable, which is what lets a generator be compiled into its loop.
    #[inline]
    fn step(self: Pin<&mut Self>, put: impl FnOnce(&Frame<Y, I>)) -> Event<Y, T> {
        let root = self.whole();
        let this = root.cast::<Self>();
        // SAFETY: `self` is pinned and held exclusively; callers step no closed coroutine.
        unsafe {
            let frame = &(*this.as_ptr()).frame;
            if let Some(inner) = frame.head.innermost.get() {
                return step_erased(root, inner, put);
            }
            put(frame);
            let guard = CloseOnPanic(root);
            let poll = Self::poll_body(this, &mut Context::from_waker(Waker::noop()));
            mem::forget(guard);
            if let Poll::Ready(result) = poll {
                return Event::Finished(result);
            }
            match frame.take_out() {
                Some(value) => Event::Yielded(value),
                None => event::<Y, I, T>(root, driver::go_on(root, root, Poll::Pending)),
            }
        }
    }

    fn advance(
        self: Pin<&mut Self>,
        cx: Option<&mut Context<'_>>,
        closing: &mut Option<NonNull<Head>>,
    ) -> Event<Y, T> {
        let root = self.whole();
        // SAFETY: as in `step`.
        unsafe { event::<Y, I, T>(root, driver::run(root, cx, closing)) }
    }
}

/// Polls the innermost frame of `root` once, and leaves all but a yield to the driver.
///
/// # Safety
/// As [`driver::run`]; the chain's values are `Y` and `I`, the root's result is a `T`.
#[inline(always)]
pub(crate) unsafe fn step_erased<Y, I, T>(
    root: NonNull<Head>,
    inner: NonNull<Head>,
    put: impl FnOnce(&Frame<Y, I>),
) -> Event<Y, T> {
    // SAFETY: the caller's promise.
    unsafe {
        let frame = inner.cast::<Frame<Y, I>>();
        put(frame.as_ref());
        let guard = CloseOnPanic(root);
        let poll = (inner.as_ref().vtable.poll)(inner, None);
        mem::forget(guard);
        if poll.is_pending()
            && let Some(value) = frame.as_ref().take_out()
        {
            return Event::Yielded(value);
        }
        event::<Y, I, T>(root, driver::go_on(root, inner, poll))
    }
}

/// Takes out what a round of the driver came to.
///
/// # Safety
/// As `step_erased`, after the round.
#[inline]
pub(crate) unsafe fn event<Y, I, T>(root: NonNull<Head>, round: Round) -> Event<Y, T> {
    // SAFETY: the caller's promise: every frame of the chain has these types of value.
    let event = unsafe {
        match round {
            Round::Yielded(frame) => {
                frame.cast::<Frame<Y, I>>().as_ref().take_out().map(Event::Yielded)
            }
            Round::Finished => take_finished(root).map(Event::Finished),
            Round::Waiting => None,
        }
    };
    event.unwrap_or(Event::Waiting)
}

impl<Y, I, T, F, Fut> Drop for Core<'_, Y, I, T, F, Fut> {
    fn drop(&mut self) {
        let this = NonNull::from(&mut *self);
        if self.frame.head.innermost.get().is_some() {
            // SAFETY: the chain below is pinned with this block and nobody polls it.
            unsafe { driver::clear_chain(this.cast()) }
        }
        // SAFETY: as above.
        unsafe { clear_storage(this) }
    }
}
