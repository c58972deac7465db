//! The one place where the load generator reads the time.

use std::time::Instant;

/// Now, on the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "a measuring program that no loop's clock drives")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
