//! Locks, events, conditions, semaphores, barriers and queues.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use boros::sync::{Barrier, BrokenBarrier, Condition, Event, Lock, Queue, QueueError, Semaphore};
use boros::{
    Result, Task, create_task, gather, gather_settled, running_loop, sleep, timeout, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

fn virtually<T: 'static>(future: impl Future<Output = Result<T>> + 'static) -> T {
    // Whoever waits for ever fails, rather than hang.
    boros::run_virtual(timeout(Duration::from_secs(1 << 30), future)).expect("it ends well")
}

/// Seconds of the loop's clock since it began.
fn now() -> u64 {
    running_loop().expect("in a loop").time().as_secs_f64().round() as u64
}

#[test]
fn a_lock_is_passed_on_in_order() {
    virtually(async {
        let lock = Rc::new(Lock::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..4 {
            let lock = Rc::clone(&lock);
            tasks.push(create_task(async move {
                let mut guard = lock.acquire().await?;
                sleep(SECOND).await?;
                guard.push((number, now()));
                Ok(())
            })?);
        }
        yield_now().await?;
        assert!(lock.is_locked() && lock.try_acquire().is_none());
        gather(tasks).await?;
        assert_eq!(*lock.acquire().await?, [(0, 1), (1, 2), (2, 3), (3, 4)]);
        Ok(())
    });
}

#[test]
fn a_cancelled_waiter_hands_the_lock_on() {
    virtually(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await?;
        let waiters: Vec<Task<()>> = (0..2)
            .map(|_| {
                let lock = Rc::clone(&lock);
                create_task(async move { lock.acquire().await.map(drop).map_err(Into::into) })
            })
            .collect::<Result<_, _>>()?;
        yield_now().await?;
        // The first is promised the lock, and then cancelled before it runs.
        drop(guard);
        waiters[0].cancel();
        let results = gather_settled(&waiters).await?;
        assert!(results[0].as_ref().unwrap_err().is_cancelled());
        assert!(results[1].is_ok());
        assert!(!lock.is_locked());
        Ok(())
    });
}

#[test]
fn an_event_wakes_all() {
    virtually(async {
        let event = Rc::new(Event::new());
        let waiting = |event: &Rc<Event>| {
            let event = Rc::clone(event);
            create_task(async move {
                event.wait().await?;
                Ok(now())
            })
        };
        let tasks = [waiting(&event)?, waiting(&event)?];
        sleep(SECOND).await?;
        event.set();
        assert!(event.is_set());
        assert_eq!(gather(tasks).await?, [1, 1]);
        event.wait().await?;
        event.clear();
        let late = waiting(&event)?;
        yield_now().await?;
        assert!(!late.is_done());
        late.cancel();
        assert!(late.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn a_condition_is_waited_for_with_the_lock_free() {
    virtually(async {
        let shared = Rc::new((Lock::new(0), Condition::new()));
        let theirs = Rc::clone(&shared);
        let waiter = create_task(async move {
            let (lock, condition) = &*theirs;
            let guard = lock.acquire().await?;
            let guard = condition.wait_for(guard, |value| *value >= 2).await?;
            Ok(*guard)
        })?;
        let (lock, condition) = &*shared;
        for _ in 0..2 {
            sleep(SECOND).await?;
            *lock.acquire().await? += 1;
            condition.notify(1);
        }
        assert_eq!(waiter.await?, 2);
        let theirs = Rc::clone(&shared);
        let cancelled = create_task(async move {
            let guard = theirs.0.acquire().await?;
            theirs.1.wait(guard).await.map(drop).map_err(Into::into)
        })?;
        yield_now().await?;
        cancelled.cancel();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        assert!(!lock.is_locked());
        Ok(())
    });
}

#[test]
fn a_semaphore_limits_how_many_run() {
    virtually(async {
        let shared = Rc::new((Semaphore::new(2), Cell::new(0), Cell::new(0)));
        let mut tasks = Vec::new();
        for _ in 0..5 {
            let shared = Rc::clone(&shared);
            tasks.push(create_task(async move {
                let (semaphore, running, most) = &*shared;
                let _permit = semaphore.acquire().await?;
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                sleep(SECOND).await?;
                running.set(running.get() - 1);
                Ok(())
            })?);
        }
        gather(tasks).await?;
        assert_eq!((shared.2.get(), now(), shared.0.available()), (2, 3, 2));

        let semaphore = Rc::new(Semaphore::new(0));
        let waiting = |semaphore: &Rc<Semaphore>| {
            let semaphore = Rc::clone(semaphore);
            create_task(async move {
                semaphore.acquire().await?.forget();
                Ok(())
            })
        };
        let tasks = [waiting(&semaphore)?, waiting(&semaphore)?];
        yield_now().await?;
        semaphore.release();
        tasks[0].cancel();
        let results = gather_settled(&tasks).await?;
        assert!(results[0].is_err() && results[1].is_ok());
        assert_eq!(semaphore.available(), 0);
        Ok(())
    });
}

#[test]
fn a_barrier_is_passed_together_again_and_again() {
    virtually(async {
        let barrier = Rc::new(Barrier::new(3));
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 1..=3 {
            let (barrier, log) = (Rc::clone(&barrier), Rc::clone(&log));
            tasks.push(create_task(async move {
                let mut places = Vec::new();
                for _ in 0..2 {
                    sleep(SECOND * number).await?;
                    places.push(barrier.wait().await?);
                    log.borrow_mut().push(now());
                }
                Ok(places)
            })?);
        }
        assert_eq!(gather(tasks).await?, [[0, 0], [1, 1], [2, 2]]);
        assert_eq!(*log.borrow(), [3, 3, 3, 6, 6, 6]);
        Ok(())
    });
}

#[test]
fn a_broken_barrier_says_so() {
    virtually(async {
        let barrier = Rc::new(Barrier::new(2));
        let waiting = |barrier: &Rc<Barrier>| {
            let barrier = Rc::clone(barrier);
            create_task(async move { barrier.wait().await })
        };
        let task = waiting(&barrier)?;
        yield_now().await?;
        barrier.reset();
        assert!(task.await.unwrap_err().is::<BrokenBarrier>());
        let task = waiting(&barrier)?;
        yield_now().await?;
        assert_eq!(barrier.waiting(), 1);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(barrier.waiting(), 0);
        barrier.abort();
        assert!(barrier.wait().await.unwrap_err().is::<BrokenBarrier>() && barrier.is_broken());
        barrier.reset();
        let tasks = [waiting(&barrier)?, waiting(&barrier)?];
        assert_eq!(gather(tasks).await?.len(), 2);
        Ok(())
    });
}

#[test]
fn a_queue_makes_both_sides_wait() {
    virtually(async {
        let queue = Rc::new(Queue::new(2));
        let theirs = Rc::clone(&queue);
        let producer = create_task(async move {
            for number in 0..5 {
                theirs.put(number).await?;
            }
            Ok(now())
        })?;
        yield_now().await?;
        assert!(queue.is_full());
        assert_eq!(queue.put_nowait(9), Err((QueueError::Full, 9)));
        let mut got = Vec::new();
        for _ in 0..5 {
            sleep(SECOND).await?;
            got.push(queue.get().await?);
            queue.task_done()?;
        }
        assert_eq!(got, [0, 1, 2, 3, 4]);
        assert_eq!(producer.await?, 3);
        queue.join().await?;
        assert_eq!(queue.task_done(), Err(QueueError::TooManyDone));
        assert_eq!(queue.get_nowait(), Err(QueueError::Empty));
        Ok(())
    });
}

#[test]
fn a_queue_that_is_shut_down_gives_what_it_has() {
    virtually(async {
        let queue = Rc::new(Queue::new(0));
        queue.put(1).await?;
        queue.shutdown(false);
        assert!(queue.put(2).await.unwrap_err().downcast_ref() == Some(&QueueError::ShutDown));
        assert_eq!(queue.get().await?, 1);
        assert!(queue.get().await.unwrap_err().is::<QueueError>());

        let queue = Rc::new(Queue::<u32>::new(0));
        let theirs = Rc::clone(&queue);
        let getter = create_task(async move { theirs.get().await })?;
        yield_now().await?;
        queue.shutdown(true);
        assert!(getter.await.unwrap_err().is::<QueueError>());
        Ok(())
    });
}

#[test]
fn queues_have_their_orders_and_an_item_is_not_lost_with_a_getter() {
    virtually(async {
        let (lifo, priority) = (Queue::lifo(0), Queue::priority(0));
        for number in [2, 3, 1] {
            lifo.put(number).await?;
            priority.put(number).await?;
        }
        for (last, least) in [(1, 1), (3, 2), (2, 3)] {
            assert_eq!((lifo.get().await?, priority.get().await?), (last, least));
        }
        let queue = Rc::new(Queue::new(0));
        let getting = |queue: &Rc<Queue<u32>>| {
            let queue = Rc::clone(queue);
            create_task(async move { queue.get().await })
        };
        let getters = [getting(&queue)?, getting(&queue)?];
        yield_now().await?;
        queue.put_nowait(7).unwrap();
        getters[0].cancel();
        let results = gather_settled(&getters).await?;
        assert!(results[0].is_err());
        assert_eq!(*results[1].as_ref().unwrap(), 7);
        Ok(())
    });
}
