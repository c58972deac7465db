//! The operating system's part. A backend provides
//!
//! - `Selector`: `new`, `fileno`, `add`, `modify`, `delete` and `wait`, with the contract written at
//!   [`crate::Poller`]: level-triggered, usable from several threads, descriptors passed are not negative;
//! - `EventBuffer`: `Default`, `len` and `iter` over [`crate::Event`];
//! - `Notifier`: `new`, `fileno`, `notify` (from any thread, never blocks) and `clear`.

mod epoll;
mod eventfd;

pub(crate) use epoll::{EventBuffer, Selector};
pub(crate) use eventfd::Notifier;
