//! The loop, as other threads see it.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::InvalidState;
use crate::inbox::Inbox;
use crate::job::Remote;

/// What other threads may do with a loop. Made by [`LoopHandle::remote`](crate::LoopHandle::remote).
#[derive(Clone)]
pub struct RemoteHandle {
    pub(crate) inbox: Arc<Inbox<Remote>>,
    pub(crate) closed: Arc<AtomicBool>,
}

impl RemoteHandle {
    /// Calls `function` in the loop's thread, and wakes the loop if it waits.
    ///
    /// # Errors
    /// [`InvalidState::Closed`].
    pub fn call_soon_threadsafe(
        &self,
        function: impl FnOnce() + Send + 'static,
    ) -> Result<(), InvalidState> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(InvalidState::Closed);
        }
        self.inbox.push(Remote::Call(Box::new(function)));
        Ok(())
    }
}

impl fmt::Debug for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").finish_non_exhaustive()
    }
}
