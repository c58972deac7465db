//! What a body and its driver share: the links of a chain of delegations, one signal, one slot for a value.
//!
//! ```text
//!   root.innermost ───────────────┐      the driver polls the innermost frame only
//!   root ◄─parent─ child ◄─parent─ leaf  and goes back up one link when a frame ends
//! ```
//!
//! Frames are pinned with their bodies. A frame is reached through its own `Handle` (inside the body, while the body is
//! polled) and through the driver of its root (between polls); both are exclusive by `&mut`, and never at one time. No
//! `&mut` to a frame is made: fields are cells, and what has to be moved lies in an `UnsafeCell`.
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::panic::Location;
use core::ptr::NonNull;
use core::task::{Context, Poll};

use crate::input::Input;
use crate::state::Stage;

/// What the operation that a body has under way has come to, and with it what the slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// No operation. Slot empty.
    Idle,
    /// A yield was made; the driver has not seen it. Slot: the value to yield.
    Yielded,
    /// The driver has given the value to the caller. Slot empty.
    Taken,
    /// The driver has put in what the caller sent or threw. Slot: that input.
    Resumed,
    /// A `yield_from` waits; the driver has not linked its child. Slot empty.
    Delegating,
    /// The child is part of the chain. Slot empty.
    Linked,
    /// The child has ended and keeps its result. Slot empty.
    Returned,
}

/// What can be done with a frame whose body's type is not known.
pub(crate) struct VTable {
    /// The type name of the body.
    pub(crate) name: fn() -> &'static str,
    /// Polls the body once, starting it if need be; a result stays in the frame's storage (`Stage::Finished`).
    ///
    /// Without a context it is polled with one that wakes nothing, made where it can be seen to be unused.
    pub(crate) poll: unsafe fn(NonNull<Head>, Option<&mut Context<'_>>) -> Poll<()>,
    /// How far from the frame's beginning a result lies.
    pub(crate) result: usize,
    /// Drops whatever the storage holds (`Stage::Closed`).
    pub(crate) clear: unsafe fn(NonNull<Head>),
    /// Drops the slot's content and frees the block that the frame heads.
    pub(crate) free: unsafe fn(NonNull<Head>),
    /// Tells the parent how its child, finished, took the request to end.
    pub(crate) report_close: unsafe fn(child: NonNull<Head>, parent: NonNull<Head>),
    /// Tells the parent that its child yielded when asked to end.
    pub(crate) report_ignored: unsafe fn(child: NonNull<Head>, parent: NonNull<Head>),
}

/// A value that the body shows under a name.
pub(crate) type Exposed = Vec<(&'static str, String)>;

/// The part of a frame that is the same for every type of value.
#[repr(C)]
pub(crate) struct Head {
    pub(crate) vtable: &'static VTable,
    /// Of a root, and of no other: the frame to poll, when it is not the root itself.
    pub(crate) innermost: Cell<Option<NonNull<Head>>>,
    /// Of a linked child: who delegates to it.
    pub(crate) parent: Cell<Option<NonNull<Head>>>,
    /// With `Delegating` and `Linked`: who is delegated to.
    pub(crate) delegate: Cell<Option<NonNull<Head>>>,
    pub(crate) at: Cell<Option<&'static Location<'static>>>,
    pub(crate) exposed: UnsafeCell<Option<Box<Exposed>>>,
    pub(crate) stage: Cell<Stage>,
    pub(crate) signal: Cell<Signal>,
}

impl Head {
    /// The frame that the driver of this root is to poll.
    ///
    /// `this` must carry the provenance of the whole block, as every pointer that polls a body does.
    #[inline]
    pub(crate) unsafe fn innermost(this: NonNull<Self>) -> NonNull<Self> {
        // SAFETY: the caller says that the frame is alive.
        unsafe { this.as_ref() }.innermost.get().unwrap_or(this)
    }
}

/// The one place for values on their way between body and caller; the signal says which it holds.
union Slot<Y, I> {
    out: ManuallyDrop<Y>,
    input: ManuallyDrop<I>,
}

#[repr(C)]
pub(crate) struct Frame<Y, I> {
    pub(crate) head: Head,
    slot: UnsafeCell<Slot<Y, I>>,
}

impl<Y, I> Frame<Y, I> {
    #[inline]
    pub(crate) fn new(vtable: &'static VTable) -> Self {
        let mut frame = MaybeUninit::uninit();
        // SAFETY: `write` initialises every field; the slot, a union, needs no value.
        unsafe {
            Self::write(frame.as_mut_ptr(), vtable);
            frame.assume_init()
        }
    }

    /// Makes a new frame in place.
    ///
    /// # Safety
    /// `this` is valid for writes, and its content may be overwritten.
    #[inline]
    pub(crate) unsafe fn write(this: *mut Self, vtable: &'static VTable) {
        // SAFETY: the caller's promise.
        unsafe {
            let head = &raw mut (*this).head;
            (&raw mut (*head).vtable).write(vtable);
            (&raw mut (*head).innermost).write(Cell::new(None));
            (&raw mut (*head).parent).write(Cell::new(None));
            (&raw mut (*head).delegate).write(Cell::new(None));
            (&raw mut (*head).at).write(Cell::new(None));
            (&raw mut (*head).exposed).write(UnsafeCell::new(None));
            (&raw mut (*head).stage).write(Cell::new(Stage::Created));
            (&raw mut (*head).signal).write(Cell::new(Signal::Idle));
        }
    }

    /// Empties the slot and leaves no operation under way.
    pub(crate) fn reset(&self) {
        let signal = self.head.signal.replace(Signal::Idle);
        // SAFETY: the signal says which value the slot holds; being Idle now, it is not dropped again, not even if
        // its destructor panics.
        unsafe {
            match signal {
                Signal::Yielded => ManuallyDrop::drop(&mut (*self.slot.get()).out),
                Signal::Resumed => ManuallyDrop::drop(&mut (*self.slot.get()).input),
                _ => {}
            }
        }
    }

    /// The body makes a yield: its value goes to the slot, unless an error waits there to be raised at this yield.
    #[inline]
    pub(crate) fn put_out(&self, value: Y, at: &'static Location<'static>)
    where
        I: Input,
    {
        self.head.at.set(Some(at));
        if self.head.signal.get() == Signal::Idle || !self.has_raise() {
            // SAFETY: the slot is empty with Idle, and after `has_raise`; the reference does not outlive the assignment.
            unsafe { (*self.slot.get()).out = ManuallyDrop::new(value) };
            self.head.signal.set(Signal::Yielded);
        }
    }

    /// Whether an error that was thrown has not met a yield yet; empties the slot if not.
    pub(crate) fn has_raise(&self) -> bool
    where
        I: Input,
    {
        if self.head.signal.get() == Signal::Resumed {
            // SAFETY: with Resumed the slot holds an input.
            let raise = unsafe { (*self.slot.get()).input.is_raise() };
            if raise {
                return true;
            }
        }
        self.reset();
        false
    }

    /// The caller's value or error for the yield at which the body waits.
    #[inline]
    pub(crate) fn resume(&self, input: I) {
        if self.head.signal.get() != Signal::Taken {
            self.reset();
        }
        // SAFETY: the slot is empty with Taken, and after reset.
        unsafe { (*self.slot.get()).input = ManuallyDrop::new(input) };
        self.head.signal.set(Signal::Resumed);
    }

    /// The input, if there is one.
    #[inline]
    pub(crate) fn take_input(&self) -> Option<I>
    where
        I: Input,
    {
        if self.head.signal.get() != Signal::Resumed {
            return None;
        }
        self.head.signal.set(Signal::Idle);
        // SAFETY: with Resumed the slot held an input; being Idle now, it is not read again.
        Some(unsafe { I::read((&raw const (*self.slot.get()).input).cast()) })
    }

    /// The yielded value, if the body waits at a yield that the driver has not seen.
    #[inline]
    pub(crate) fn take_out(&self) -> Option<Y> {
        if self.head.signal.get() != Signal::Yielded {
            return None;
        }
        self.head.signal.set(Signal::Taken);
        // SAFETY: with Yielded the slot held a value; being Taken now, it is not read again.
        Some(unsafe { ManuallyDrop::take(&mut (*self.slot.get()).out) })
    }

    /// The poll of a yield's future.
    #[inline]
    pub(crate) fn poll_yield(&self) -> Poll<I>
    where
        I: Input,
    {
        match self.take_input() {
            Some(input) => Poll::Ready(input),
            None => Poll::Pending,
        }
    }

    /// The body drops a yield's future: its value is withdrawn; an input stays, for a later yield to raise or forget.
    #[inline]
    pub(crate) fn withdraw(&self) {
        if self.head.signal.get() == Signal::Yielded {
            self.reset();
        }
    }
}

impl<Y, I> Drop for Frame<Y, I> {
    #[inline]
    fn drop(&mut self) {
        self.reset();
        if let Some(exposed) = self.head.exposed.get_mut().take() {
            drop_exposed(exposed);
        }
    }
}

/// Apart, so that the end of a frame without exposed values is short.
#[cold]
#[inline(never)]
fn drop_exposed(exposed: Box<Exposed>) {
    drop(exposed);
}
