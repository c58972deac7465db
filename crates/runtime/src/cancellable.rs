//! Cancellation for futures of other crates.
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use crate::cancelled::Cancelled;
use crate::wait::{Wait, WaitsFor};

/// Waits for a future that knows nothing of cancellation. When the task is cancelled meanwhile, the future is dropped, and the
/// task goes on here with the error.
///
/// # Errors
/// [`Cancelled`].
#[track_caller]
pub fn cancellable<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Cancelled>> {
    let at = Location::caller();
    async move {
        let (mut future, mut wait) = (pin!(future), Wait::new());
        poll_fn(move |cx| {
            if let Some(cancelled) = wait.interrupted() {
                return Poll::Ready(Err(cancelled));
            }
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                wait.end();
                return Poll::Ready(Ok(value));
            }
            match wait.suspend(cx, at, || WaitsFor::Foreign, || None) {
                Ok(_) => Poll::Pending,
                Err(cancelled) => Poll::Ready(Err(cancelled)),
            }
        })
        .await
    }
}
