//! Wakers: how futures of other crates, and other threads, wake a task.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use crate::inbox::Inbox;
use crate::job::Remote;
use crate::running;

/// Which task: the place in the loop's table, and how often that place was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What a task's waker points to: all that another thread may know of a task.
pub(crate) struct Node {
    loop_id: u64,
    inbox: Arc<Inbox<Remote>>,
    key: AtomicU64,
    /// Stands in the inbox: one entry per task is enough.
    queued: AtomicBool,
}

impl Node {
    fn new(loop_id: u64, inbox: Arc<Inbox<Remote>>, key: TaskKey) -> Self {
        let node = Node { loop_id, inbox, key: AtomicU64::new(0), queued: AtomicBool::new(false) };
        node.assign(key);
        node
    }

    fn assign(&self, key: TaskKey) {
        self.key.store(u64::from(key.index) << 32 | u64::from(key.generation), Ordering::Relaxed);
    }

    fn key(&self) -> TaskKey {
        let key = self.key.load(Ordering::Relaxed);
        TaskKey { index: (key >> 32) as u32, generation: key as u32 }
    }

    /// Called by the loop for a node that came in.
    pub(crate) fn received(&self) -> TaskKey {
        self.queued.store(false, Ordering::SeqCst);
        self.key()
    }

    /// In the loop's own thread the task becomes a job at once, which takes neither lock nor allocation.
    fn wake_here(&self) -> bool {
        running::with_core(|core| {
            let ours = core.id == self.loop_id;
            if ours {
                core.wake_key(self.key());
            }
            ours
        }) == Some(true)
    }
}

impl Wake for Node {
    fn wake(self: Arc<Self>) {
        if !self.wake_here() && !self.queued.swap(true, Ordering::SeqCst) {
            let inbox = Arc::clone(&self.inbox);
            inbox.push(Remote::Wake(self));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.wake_here() && !self.queued.swap(true, Ordering::SeqCst) {
            self.inbox.push(Remote::Wake(Arc::clone(self)));
        }
    }
}

/// A waker, and the node behind it.
pub(crate) struct TaskWaker {
    node: Arc<Node>,
    waker: Waker,
}

impl TaskWaker {
    pub(crate) fn new(loop_id: u64, inbox: Arc<Inbox<Remote>>, key: TaskKey) -> Self {
        let node = Arc::new(Node::new(loop_id, inbox, key));
        TaskWaker { waker: Waker::from(Arc::clone(&node)), node }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Gives the waker to another task, unless somebody still holds a clone of it: that one must stay with the task that it
    /// was made for.
    pub(crate) fn reuse(self, key: TaskKey) -> Option<Self> {
        // Two: the waker's own and ours. Nobody else can make a third out of those.
        if Arc::strong_count(&self.node) != 2 {
            return None;
        }
        self.node.assign(key);
        Some(self)
    }
}
