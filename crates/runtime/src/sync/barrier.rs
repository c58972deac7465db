//! A point that tasks pass together.
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::error::Result;
use crate::sync::wait_queue::WaitQueue;
use crate::wait::WaitsFor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    /// All have come, and go.
    Draining,
    /// Those who had come are sent away; then it fills again.
    Resetting,
    Broken,
}

/// A point where tasks wait until enough of them have come; then all go on, and it can be used again.
pub struct Barrier {
    parties: usize,
    state: Cell<State>,
    /// How many are inside.
    inside: Cell<usize>,
    waiters: WaitQueue,
}

/// The barrier was broken or reset while a task waited at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier was broken, or reset while tasks waited at it")
    }
}

impl std::error::Error for BrokenBarrier {}

impl Barrier {
    /// For as many tasks as `parties` says; for none it is as for one.
    pub fn new(parties: usize) -> Self {
        Barrier {
            parties: parties.max(1),
            state: Cell::new(State::Filling),
            inside: Cell::new(0),
            waiters: WaitQueue::default(),
        }
    }

    /// How many tasks it takes.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many tasks wait at it.
    pub fn waiting(&self) -> usize {
        if self.state.get() == State::Filling { self.inside.get() } else { 0 }
    }

    /// Whether it was broken.
    pub fn is_broken(&self) -> bool {
        self.state.get() == State::Broken
    }

    /// Waits until enough tasks have come. Answers with a number that is different for each of them, from zero in the order in
    /// which they came.
    ///
    /// # Errors
    /// [`BrokenBarrier`]; [`Cancelled`](crate::Cancelled), which leaves the others waiting.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<usize>> + '_ {
        let at = Location::caller();
        async move {
            // Those who passed it last time have to be gone.
            while matches!(self.state.get(), State::Draining | State::Resetting) {
                self.waiters.enter(WaitsFor::Barrier)?.wait(at).await?;
            }
            if self.state.get() == State::Broken {
                return Err(BrokenBarrier.into());
            }
            let index = self.inside.get();
            self.inside.set(index + 1);
            let _inside = Inside(self);
            if index + 1 == self.parties {
                self.state.set(State::Draining);
                self.waiters.wake_all();
                return Ok(index);
            }
            while self.state.get() == State::Filling {
                self.waiters.enter(WaitsFor::Barrier)?.wait(at).await?;
            }
            match self.state.get() {
                State::Draining => Ok(index),
                _ => Err(BrokenBarrier.into()),
            }
        }
    }

    /// Sends away all who wait, with [`BrokenBarrier`], and makes it usable again.
    pub fn reset(&self) {
        if self.inside.get() > 0 {
            self.state.set(State::Resetting);
            self.waiters.wake_all();
        } else {
            self.state.set(State::Filling);
        }
    }

    /// Breaks it: all who wait or come get [`BrokenBarrier`], until it is [reset](Barrier::reset).
    pub fn abort(&self) {
        self.state.set(State::Broken);
        self.waiters.wake_all();
    }
}

/// One task inside of the barrier.
struct Inside<'a>(&'a Barrier);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let barrier = self.0;
        barrier.inside.set(barrier.inside.get() - 1);
        if barrier.inside.get() == 0
            && matches!(barrier.state.get(), State::Draining | State::Resetting)
        {
            barrier.state.set(State::Filling);
            barrier.waiters.wake_all();
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("state", &self.state.get())
            .finish_non_exhaustive()
    }
}
