//! The driver: polls the innermost frame of a chain of delegations, links children and pops frames that have ended.
//!
//! It knows no type of value and never looks at the waker, so that generators, coroutines and async generators share
//! it. A yield through any number of delegations is one poll.
use core::mem;
use core::ptr::NonNull;
use core::task::{Context, Poll};

use crate::frame::{Head, Signal};

/// What a round of the driver came to.
pub(crate) enum Round {
    /// This frame waits at a yield; its slot holds the value.
    Yielded(NonNull<Head>),
    /// The root has ended; its storage holds the result.
    Finished,
    /// The innermost body waits for something that is no yield.
    Waiting,
}

/// Closes the chain if a body panics.
pub(crate) struct CloseOnPanic(pub(crate) NonNull<Head>);

impl Drop for CloseOnPanic {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the driver that made the guard holds the root exclusively, and is unwinding from the poll of a body.
        unsafe { clear_chain(self.0) }
    }
}

/// Runs the chain of `root` to its next yield, wait or end.
///
/// `closing` is the frame that was asked to end, if a request to end is going up the chain below the root: each frame
/// closes its delegate first, then meets `Exit` (or what the delegate raised instead) at its own `yield_from`.
///
/// # Safety
/// `root` is pinned, held exclusively, carries the provenance of its whole block, and is Created or Suspended.
pub(crate) unsafe fn run(
    root: NonNull<Head>,
    mut cx: Option<&mut Context<'_>>,
    closing: &mut Option<NonNull<Head>>,
) -> Round {
    // SAFETY: frames of a chain are alive and pinned as long as the root is: each child is owned by the future of its
    // parent's `yield_from`, which only the parent's body can drop, and the parent's body is not polled meanwhile.
    unsafe {
        let guard = CloseOnPanic(root);
        loop {
            let frame = Head::innermost(root);
            let round = match (frame.as_ref().vtable.poll)(frame, cx.as_deref_mut()) {
                Poll::Ready(()) if frame == root => Some(Round::Finished),
                Poll::Ready(()) => {
                    pop(root, frame, closing);
                    None
                }
                Poll::Pending => settle(root, frame, closing),
            };
            if let Some(round) = round {
                mem::forget(guard);
                return round;
            }
        }
    }
}

/// Goes on after a poll of the innermost frame that was not simply a yield, with a waker that does nothing.
///
/// # Safety
/// As [`run`]; `frame` is the innermost frame of `root` and has just been polled, with this result.
#[inline(never)]
pub(crate) unsafe fn go_on(root: NonNull<Head>, frame: NonNull<Head>, poll: Poll<()>) -> Round {
    let mut closing = None;
    // SAFETY: as in `run`.
    unsafe {
        match poll {
            Poll::Ready(()) if frame == root => return Round::Finished,
            Poll::Ready(()) => pop(root, frame, &mut closing),
            Poll::Pending => {
                if let Some(round) = settle(root, frame, &mut closing) {
                    return round;
                }
            }
        }
        run(root, None, &mut closing)
    }
}

/// What a pending frame asks of the driver: nothing (go on polling) or the end of the round.
unsafe fn settle(
    root: NonNull<Head>,
    frame: NonNull<Head>,
    closing: &mut Option<NonNull<Head>>,
) -> Option<Round> {
    // SAFETY: as in `run`.
    unsafe {
        match frame.as_ref().signal.get() {
            Signal::Yielded => match *closing {
                Some(refusing) => {
                    refuse(root, frame, refusing, closing);
                    None
                }
                None => Some(Round::Yielded(frame)),
            },
            Signal::Delegating => {
                link(root, frame);
                None
            }
            _ => Some(Round::Waiting),
        }
    }
}

/// Makes the child of a `yield_from` part of the chain, with whatever it delegates to itself.
unsafe fn link(root: NonNull<Head>, frame: NonNull<Head>) {
    // SAFETY: as in `run`; the delegate was named by the `yield_from` that owns it, in the poll that ended just now. Its
    // data outlives the whole chain (`'env`), so that it may be polled even if that future was leaked.
    unsafe {
        let frame_ref = frame.as_ref();
        let Some(child) = frame_ref.delegate.get() else { return };
        frame_ref.signal.set(Signal::Linked);
        child.as_ref().parent.set(Some(frame));
        // A chain has one root, and only the root keeps the way to its innermost frame: kept below, it would dangle.
        let innermost = child.as_ref().innermost.take().unwrap_or(child);
        root.as_ref().innermost.set(Some(innermost));
    }
}

/// Goes back to the parent of a frame that has left the chain.
unsafe fn unlink(root: NonNull<Head>, frame: NonNull<Head>) -> NonNull<Head> {
    // SAFETY: as in `run`.
    unsafe {
        let parent = frame.as_ref().parent.take().unwrap_or(root);
        parent.as_ref().delegate.set(None);
        root.as_ref().innermost.set((parent != root).then_some(parent));
        parent
    }
}

/// Pops a finished frame; its result, or how it took the request to end, goes to its parent.
unsafe fn pop(root: NonNull<Head>, frame: NonNull<Head>, closing: &mut Option<NonNull<Head>>) {
    // SAFETY: as in `run`.
    unsafe {
        let parent = unlink(root, frame);
        if *closing == Some(frame) {
            (frame.as_ref().vtable.report_close)(frame, parent);
            *closing = (parent != root).then_some(parent);
        } else {
            parent.as_ref().signal.set(Signal::Returned);
        }
    }
}

/// Pops a frame that yielded (through `frame`) when it was asked to end: the error is raised in its parent.
#[cold]
unsafe fn refuse(
    root: NonNull<Head>,
    frame: NonNull<Head>,
    refusing: NonNull<Head>,
    closing: &mut Option<NonNull<Head>>,
) {
    // SAFETY: as in `run`. The refusing frame stays a whole coroutine with its own chain.
    unsafe {
        refusing.as_ref().innermost.set((frame != refusing).then_some(frame));
        let parent = unlink(root, refusing);
        (refusing.as_ref().vtable.report_ignored)(frame, parent);
        *closing = (parent != root).then_some(parent);
    }
}

/// Drops every body of the chain, the innermost first, and leaves the root closed.
///
/// One after the other, so that a chain of any depth needs no stack.
///
/// # Safety
/// `root` is pinned, held exclusively, carries the provenance of its whole block, and no body of the chain is polled.
#[cold]
#[inline(never)]
pub(crate) unsafe fn clear_chain(root: NonNull<Head>) {
    /// Goes on with the rest of the chain if a destructor panics.
    struct Rest(NonNull<Head>);
    impl Drop for Rest {
        fn drop(&mut self) {
            // SAFETY: the caller's promise holds; frames cleared before have left the chain.
            unsafe { clear_chain(self.0) }
        }
    }
    // SAFETY: as in `run`.
    unsafe {
        let rest = Rest(root);
        while let Some(frame) = root.as_ref().innermost.get() {
            unlink(root, frame);
            (frame.as_ref().vtable.clear)(frame);
        }
        mem::forget(rest);
        (root.as_ref().vtable.clear)(root);
    }
}
