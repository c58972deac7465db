//! Tasks, handed out as they end.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future as StdFuture;
use std::panic::Location;
use std::rc::Rc;

use crate::error::Result;
use crate::future::Future;
use crate::into_task::IntoTask;
use crate::running;
use crate::task::Task;
use crate::wait::WaitsFor;

/// The tasks of [`as_completed`], in the order in which they end.
pub struct AsCompleted<T: 'static> {
    shared: Rc<Arrivals<T>>,
    left: usize,
}

struct Arrivals<T: 'static> {
    done: RefCell<VecDeque<Task<T>>>,
    waiter: RefCell<Option<Future<()>>>,
}

/// Runs all of `items`, futures or tasks, side by side, and hands out each when it has ended.
///
/// # Errors
/// [`InvalidState::NoLoop`](crate::InvalidState::NoLoop), [`InvalidState::Closed`](crate::InvalidState::Closed).
#[track_caller]
pub fn as_completed<T: 'static, I: IntoTask<T>>(
    items: impl IntoIterator<Item = I>,
) -> Result<AsCompleted<T>> {
    let shared =
        Rc::new(Arrivals { done: RefCell::new(VecDeque::new()), waiter: RefCell::new(None) });
    let mut left = 0;
    for item in items {
        let arrivals = Rc::clone(&shared);
        item.into_task()?.add_done_callback(move |task| {
            arrivals.done.borrow_mut().push_back(task.clone());
            let waiter = arrivals.waiter.borrow_mut().take();
            if let Some(waiter) = waiter.filter(|waiter| !waiter.is_done()) {
                let _ = waiter.set_result(());
            }
        });
        left += 1;
    }
    Ok(AsCompleted { shared, left })
}

impl<T: 'static> AsCompleted<T> {
    /// The next task that has ended, to be awaited for its result; `None` after the last.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    // It answers with a future: no iterator can.
    #[allow(clippy::should_implement_trait)]
    #[track_caller]
    pub fn next(&mut self) -> impl StdFuture<Output = Result<Option<Task<T>>>> + '_ {
        let at = Location::caller();
        async move {
            if self.left == 0 {
                return Ok(None);
            }
            loop {
                let task = self.shared.done.borrow_mut().pop_front();
                if let Some(task) = task {
                    self.left -= 1;
                    return Ok(Some(task));
                }
                let waiter = Future::for_wait(running::core()?, WaitsFor::Tasks(self.left));
                *self.shared.waiter.borrow_mut() = Some(waiter.clone());
                waiter.join(at).await?;
            }
        }
    }
}

impl<T: 'static> std::fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
