//! Tasks that use locks, semaphores, queues and combinators at random and are cancelled at random times: nothing is lost, and
//! nobody waits for ever.
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use boros::sync::{Condition, Lock, Queue, Semaphore};
use boros::{
    Result, create_task, gather_settled, running_loop, shield, sleep, task_group, timeout,
    yield_now,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const PERMITS: usize = 3;

/// Pseudo-random numbers, the same in every run.
#[derive(Clone)]
struct Random(Rc<Cell<u64>>);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state % bound
    }

    async fn nap(&self) -> Result<()> {
        Ok(sleep(MILLISECOND * self.below(4) as u32).await?)
    }
}

struct World {
    lock: Lock<u64>,
    condition: Condition,
    semaphore: Semaphore,
    inside: Cell<usize>,
    queue: Queue<u64>,
    put: Cell<u64>,
    got: Cell<u64>,
}

/// Leaves the count right also when it is dropped half-way.
struct Inside<'a>(&'a Cell<usize>);

impl<'a> Inside<'a> {
    fn enter(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn act(world: &Rc<World>, random: &Random) -> Result<()> {
    match random.below(8) {
        0 => {
            let mut guard = world.lock.acquire().await?;
            let before = *guard;
            random.nap().await?;
            assert_eq!(*guard, before, "nobody else had the lock");
            *guard += 1;
            world.condition.notify(1);
        }
        1 => {
            let _permit = world.semaphore.acquire().await?;
            let _inside = Inside::enter(&world.inside);
            assert!(world.inside.get() <= PERMITS);
            random.nap().await?;
        }
        2 => {
            world.queue.put(1).await?;
            world.put.set(world.put.get() + 1);
        }
        3 => {
            let item = timeout(MILLISECOND * 3, world.queue.get()).await;
            world.got.set(world.got.get() + item.unwrap_or(0));
        }
        4 => {
            let guard = world.lock.acquire().await?;
            let seen = *guard;
            let wait = world.condition.wait_for(guard, |value| *value > seen);
            // Without others that notify it would wait for ever.
            let _ = timeout(MILLISECOND * 5, wait).await;
        }
        5 => {
            let (theirs, numbers) = (Rc::clone(world), random.clone());
            let inner = async move {
                let _permit = theirs.semaphore.acquire().await?;
                numbers.nap().await
            };
            shield(inner).await?;
        }
        6 => {
            let (theirs, numbers) = (Rc::clone(world), random.clone());
            task_group(async move |group| {
                for _ in 0..3 {
                    let (world, random) = (Rc::clone(&theirs), numbers.clone());
                    group.create_task(async move {
                        let _guard = world.lock.acquire().await?;
                        random.nap().await?;
                        if random.below(5) == 0 {
                            Err(boros::Error::msg("planted"))
                        } else {
                            Ok(())
                        }
                    })?;
                }
                Ok(())
            })
            .await?;
        }
        _ => random.nap().await?,
    }
    Ok(())
}

async fn run(seed: u64) -> Result<()> {
    let random = Random(Rc::new(Cell::new(seed)));
    let world = Rc::new(World {
        lock: Lock::new(0),
        condition: Condition::new(),
        semaphore: Semaphore::new(PERMITS),
        inside: Cell::new(0),
        queue: Queue::new(4),
        put: Cell::new(0),
        got: Cell::new(0),
    });
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (world, random) = (Rc::clone(&world), random.clone());
        tasks.push(create_task(async move {
            for _ in 0..20 {
                // A full queue that nobody empties is no failure of the queue's.
                let result = timeout(MILLISECOND * 50, act(&world, &random)).await;
                if result.is_err_and(|error| error.is_cancelled()) && random.below(2) == 0 {
                    return Ok(());
                }
            }
            Ok(())
        })?);
    }
    for _ in 0..40 {
        random.nap().await?;
        tasks[random.below(20) as usize].cancel();
    }
    gather_settled(tasks).await?;
    // What was shielded goes on a little.
    sleep(MILLISECOND * 100).await?;
    assert_eq!(running_loop()?.all_tasks().len(), 2, "this one and the one with the limit");
    assert!(!world.lock.is_locked());
    assert_eq!(world.semaphore.available(), PERMITS);
    assert_eq!(world.inside.get(), 0);
    assert_eq!(world.put.get(), world.got.get() + world.queue.len() as u64);
    yield_now().await?;
    assert!(world.lock.try_acquire().is_some() && world.semaphore.try_acquire().is_some());
    Ok(())
}

#[test]
fn nothing_is_lost_and_nobody_waits_for_ever() {
    for seed in 1..=200 {
        let result = boros::run_virtual(async move {
            let whole = create_task(run(seed * 0x9E37_79B9))?;
            timeout(Duration::from_secs(60), whole).await
        });
        if let Err(error) = result {
            panic!("with seed {seed}: {error:?}");
        }
    }
}
