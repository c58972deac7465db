//! Deadlines: ordered by time, then by insertion; cancelled ones are compacted away.
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::clock::Time;

/// Fewer cancelled timers than this are not worth a compaction.
const MIN_CANCELLED: usize = 64;

struct Entry<T> {
    when: Time,
    seq: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed: the heap gives its greatest first, and the earliest deadline is wanted.
        (other.when, other.seq).cmp(&(self.when, self.seq))
    }
}

/// A queue of items by deadline.
///
/// Cancelling is the item's own affair (a flag in it, so O(1)): the owner tells [`Timers::cancelled`] that
/// one more is dead, and calls [`Timers::compact`] when that answers true. Dead items that are removed are
/// handed out, never dropped inside, because what they own may run foreign code when it goes.
pub struct Timers<T> {
    heap: BinaryHeap<Entry<T>>,
    next_seq: u64,
    cancelled: usize,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Timers { heap: BinaryHeap::new(), next_seq: 0, cancelled: 0 }
    }
}

impl<T> std::fmt::Debug for Timers<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").field("len", &self.len()).field("next", &self.next()).finish()
    }
}

impl<T> Timers<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Timers::default()
    }

    /// Adds `item`, due at `when`.
    pub fn push(&mut self, when: Time, item: T) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.heap.push(Entry { when, seq, item });
    }

    /// How many items are queued, dead ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no item is queued.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The earliest deadline, that of a dead item included.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.when)
    }

    /// The item of the earliest deadline.
    pub fn peek(&self) -> Option<&T> {
        self.heap.peek().map(|entry| &entry.item)
    }

    /// Takes out the earliest item, whenever it is due.
    pub fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|entry| entry.item)
    }

    /// Takes out the earliest item if it is due at `now`. Items of one deadline come in the order in
    /// which they were pushed.
    pub fn pop_due(&mut self, now: Time) -> Option<T> {
        if self.next()? <= now { self.pop() } else { None }
    }

    /// Notes that one more of the queued items is dead, and tells whether to [`compact`](Self::compact).
    pub fn cancelled(&mut self) -> bool {
        self.cancelled += 1;
        self.cancelled >= MIN_CANCELLED && self.cancelled * 2 > self.heap.len()
    }

    /// Notes that an item which was taken out was dead.
    pub fn popped_cancelled(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// Removes the items that `is_dead` and hands them out.
    pub fn compact(&mut self, is_dead: impl Fn(&T) -> bool) -> Vec<T> {
        let mut dead = Vec::with_capacity(self.cancelled);
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        let mut kept = 0;
        for index in 0..entries.len() {
            if !is_dead(&entries[index].item) {
                entries.swap(kept, index);
                kept += 1;
            }
        }
        dead.extend(entries.drain(kept..).map(|entry| entry.item));
        self.heap = entries.into();
        self.cancelled = 0;
        dead
    }

    /// The items in no particular order, dead ones included.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|entry| &entry.item)
    }

    /// Empties the queue and hands out what was in it.
    pub fn take_all(&mut self) -> Vec<T> {
        self.cancelled = 0;
        std::mem::take(&mut self.heap).into_vec().into_iter().map(|entry| entry.item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(timers: &mut Timers<u32>, now: i64) -> Vec<u32> {
        std::iter::from_fn(|| timers.pop_due(Time::from_nanos(now))).collect()
    }

    #[test]
    fn order_is_by_deadline_then_by_insertion() {
        let mut timers = Timers::new();
        for (when, item) in [(5, 0), (3, 1), (5, 2), (-1, 3), (3, 4), (9, 5)] {
            timers.push(Time::from_nanos(when), item);
        }
        assert_eq!(drain(&mut timers, 5), [3, 1, 4, 0, 2]);
        assert_eq!(timers.next(), Some(Time::from_nanos(9)));
        assert_eq!(drain(&mut timers, 9), [5]);
        assert!(timers.is_empty());
    }

    #[test]
    fn compaction_hands_out_the_dead_and_keeps_the_order_of_the_rest() {
        let mut timers = Timers::new();
        for item in 0..200u32 {
            timers.push(Time::from_nanos(i64::from(item % 7)), item);
        }
        let dead = |item: &u32| !item.is_multiple_of(3);
        let mut asked = false;
        for _ in (0..200u32).filter(dead) {
            asked |= timers.cancelled();
        }
        assert!(asked);
        let mut gone = timers.compact(dead);
        gone.sort_unstable();
        assert_eq!(gone, (0..200).filter(dead).collect::<Vec<_>>());

        let mut expected: Vec<u32> = (0..200).filter(|item| !dead(item)).collect();
        expected.sort_by_key(|item| (item % 7, *item));
        assert_eq!(drain(&mut timers, 7), expected);
    }

    #[test]
    fn few_cancelled_timers_are_left_where_they_are() {
        let mut timers = Timers::new();
        timers.push(Time::default(), 1);
        assert!(!timers.cancelled());
        assert_eq!(timers.pop(), Some(1));
        timers.popped_cancelled();
        assert_eq!(timers.len(), 0);
    }

    /// Against a plain sorted list, over pseudo-random operations.
    #[test]
    fn agrees_with_a_sorted_list() {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut timers = Timers::new();
        let mut model: Vec<(i64, u32)> = Vec::new();
        let mut now = 0;
        for item in 0..5_000u32 {
            let when = now + random(50) as i64;
            timers.push(Time::from_nanos(when), item);
            let at = model.partition_point(|(other, _)| *other <= when);
            model.insert(at, (when, item));
            if random(3) == 0 {
                now += random(20) as i64;
                let split = model.partition_point(|(when, _)| *when <= now);
                let due: Vec<u32> = model.drain(..split).map(|(_, item)| item).collect();
                assert_eq!(drain(&mut timers, now), due);
            }
        }
        assert_eq!(timers.len(), model.len());
    }
}
