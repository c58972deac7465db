//! What tasks of one loop wait for each other with. None of these is for several threads.

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod semaphore;
mod wait_queue;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use queue::{Queue, QueueError};
pub use semaphore::{Permit, Semaphore};
