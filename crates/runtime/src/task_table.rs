//! The tasks of a loop, which keeps them alive until they end.
use std::rc::Rc;
use std::sync::Arc;

use crate::inbox::Inbox;
use crate::job::Remote;
use crate::task_object::TaskObject;
use crate::waker::{TaskKey, TaskWaker};

#[derive(Default)]
struct Slot {
    /// How many tasks were here before.
    generation: u32,
    task: Option<Rc<dyn TaskObject>>,
    /// Left by the previous task.
    waker: Option<TaskWaker>,
}

/// Tasks by key.
#[derive(Default)]
pub(crate) struct TaskTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    created: u64,
}

impl TaskTable {
    /// A place for a new task, its number, and its waker.
    pub(crate) fn reserve(
        &mut self,
        loop_id: u64,
        inbox: &Arc<Inbox<Remote>>,
    ) -> (TaskKey, u64, TaskWaker) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Four thousand million tasks at once do not fit in any memory.
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let key = TaskKey { index, generation: slot.generation };
        let waker = slot
            .waker
            .take()
            .and_then(|waker| waker.reuse(key))
            .unwrap_or_else(|| TaskWaker::new(loop_id, Arc::clone(inbox), key));
        self.created += 1;
        (key, self.created, waker)
    }

    pub(crate) fn put(&mut self, key: TaskKey, task: Rc<dyn TaskObject>) {
        self.slots[key.index as usize].task = Some(task);
    }

    pub(crate) fn get(&self, key: TaskKey) -> Option<Rc<dyn TaskObject>> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.task.clone() } else { None }
    }

    /// Takes out a task that has ended, to be dropped by the caller.
    pub(crate) fn remove(
        &mut self,
        key: TaskKey,
        waker: Option<TaskWaker>,
    ) -> Option<Rc<dyn TaskObject>> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1);
        slot.waker = waker;
        self.free.push(key.index);
        slot.task.take()
    }

    /// All tasks that have not ended, in the order of creation.
    pub(crate) fn all(&self) -> Vec<Rc<dyn TaskObject>> {
        let mut tasks: Vec<_> = self.slots.iter().filter_map(|slot| slot.task.clone()).collect();
        tasks.sort_by_key(|task| task.header().serial);
        tasks
    }
}
