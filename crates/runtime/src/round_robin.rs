//! The order of routines: those that are ready in turn, sleepers by deadline.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// Routines in the order in which they are to run; knows nothing of what they are.
///
/// `D` is a point in time. Nothing here reads a clock.
pub struct RoundRobin<T, D> {
    ready: VecDeque<T>,
    asleep: BinaryHeap<Reverse<Sleeper<T, D>>>,
    /// How many went to sleep so far: equal deadlines wake in that order.
    slept: u64,
}

struct Sleeper<T, D> {
    deadline: D,
    order: u64,
    routine: T,
}

impl<T, D: Ord> Ord for Sleeper<T, D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.deadline.cmp(&other.deadline).then(self.order.cmp(&other.order))
    }
}

impl<T, D: Ord> PartialOrd for Sleeper<T, D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, D: Ord> PartialEq for Sleeper<T, D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T, D: Ord> Eq for Sleeper<T, D> {}

impl<T, D: Ord + Copy> RoundRobin<T, D> {
    /// No routines.
    pub fn new() -> Self {
        Self { ready: VecDeque::new(), asleep: BinaryHeap::new(), slept: 0 }
    }

    /// Let `routine` run when all that are ready now have had their turn.
    pub fn push(&mut self, routine: T) {
        self.ready.push_back(routine);
    }

    /// Put back a routine that was popped but has not run.
    pub fn unpop(&mut self, routine: T) {
        self.ready.push_front(routine);
    }

    /// Let `routine` run at `deadline`, not before.
    pub fn sleep(&mut self, routine: T, deadline: D) {
        self.slept += 1;
        self.asleep.push(Reverse(Sleeper { deadline, order: self.slept, routine }));
    }

    /// The earliest deadline of a sleeper.
    pub fn next_deadline(&self) -> Option<D> {
        self.asleep.peek().map(|first| first.0.deadline)
    }

    /// Make those ready whose deadline has come by `now`.
    pub fn wake(&mut self, now: D) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            if let Some(Reverse(sleeper)) = self.asleep.pop() {
                self.ready.push_back(sleeper.routine);
            }
        }
    }

    /// Take the routine whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    /// All routines, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.ready.iter().chain(self.asleep.iter().map(|sleeper| &sleeper.0.routine))
    }

    /// All routines in the order in which they will run, if nothing changes.
    pub fn in_order(&self) -> Vec<&T> {
        let mut sleepers: Vec<_> = self.asleep.iter().map(|sleeper| &sleeper.0).collect();
        sleepers.sort();
        self.ready.iter().chain(sleepers.into_iter().map(|sleeper| &sleeper.routine)).collect()
    }
}

impl<T, D: Ord + Copy> Default for RoundRobin<T, D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::RoundRobin;

    #[test]
    fn runs_in_turn() {
        let mut order = RoundRobin::<_, u64>::new();
        order.push('a');
        order.push('b');
        assert_eq!(order.pop(), Some('a'));
        order.push('a');
        assert_eq!(order.pop(), Some('b'));
        order.unpop('b');
        assert_eq!(order.in_order(), [&'b', &'a']);
    }

    #[test]
    fn wakes_by_deadline_then_by_order_of_going_to_sleep() {
        let mut order = RoundRobin::new();
        order.sleep('c', 30);
        order.sleep('a', 10);
        order.sleep('b', 10);
        order.push('x');
        assert_eq!(order.next_deadline(), Some(10));
        assert_eq!(order.in_order(), [&'x', &'a', &'b', &'c']);
        order.wake(9);
        assert_eq!(order.pop(), Some('x'));
        assert_eq!(order.pop(), None);
        order.wake(10);
        assert_eq!([order.pop(), order.pop(), order.pop()], [Some('a'), Some('b'), None]);
        assert_eq!(order.next_deadline(), Some(30));
        assert_eq!(order.iter().count(), 1);
    }
}
