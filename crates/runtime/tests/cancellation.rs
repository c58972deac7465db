//! Cancellation: where it is raised, what may be done about it, and how it meets the combinators.
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use boros::coro::{BoxCoroutine, Error as CoroError, coroutine, generator};
use boros::{
    Cancelled, Error, GroupError, InvalidState, Result, ReturnWhen, Sleep, Task, TimedOut,
    as_completed, cancel_current, cancellable, create_task, drive, drive_turns, gather,
    gather_settled, running_loop, shield, sleep, task_group, timeout, uncancel_current, wait,
    yield_now,
};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

async fn nap(seconds: u64) -> Result<u64> {
    sleep(SECOND * seconds as u32).await?;
    Ok(seconds)
}

async fn fail(after: u64, text: &str) -> Result<u64> {
    sleep(SECOND * after as u32).await?;
    Err(Error::msg(text))
}

/// Seconds of the loop's clock since it began.
fn now() -> u64 {
    running_loop().expect("in a loop").time().as_secs_f64().round() as u64
}

fn virtually<T: 'static>(future: impl Future<Output = Result<T>> + 'static) -> T {
    // Whoever waits for ever fails, rather than hang.
    boros::run_virtual(timeout(Duration::from_secs(1 << 30), future)).expect("it ends well")
}

#[test]
fn it_is_raised_where_the_task_waits_and_cleaning_up_may_await() {
    virtually(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&log);
        let task = create_task(async move {
            let result = sleep(LONG).await;
            seen.borrow_mut().push(format!("met {:?} at {}", result.is_err(), now()));
            sleep(SECOND).await?;
            seen.borrow_mut().push(format!("clean at {}", now()));
            result?;
            Ok(())
        })?;
        sleep(SECOND).await?;
        assert!(task.cancel_with("closing time"));
        let error = (&task).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Cancelled>().unwrap().message(), Some("closing time"));
        assert!(task.is_cancelled() && !task.cancel());
        assert_eq!(*log.borrow(), ["met true at 1", "clean at 2"]);
        Ok(())
    });
}

#[test]
fn a_task_may_refuse_and_take_the_request_back() {
    virtually(async {
        let task = create_task(async {
            if sleep(LONG).await.is_err() {
                assert_eq!(uncancel_current()?, 0);
            }
            nap(1).await
        })?;
        yield_now().await?;
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        assert_eq!((&task).await?, 1);
        assert!(!task.is_cancelled() && task.cancelling() == 0);
        Ok(())
    });
}

#[test]
fn what_was_cancelled_before_its_first_step_never_starts() {
    virtually(async {
        let started = Rc::new(Cell::new(false));
        let seen = Rc::clone(&started);
        let task = create_task(async move {
            seen.set(true);
            Ok(())
        })?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!started.get());
        Ok(())
    });
}

#[test]
fn a_task_that_cancels_itself_meets_it_at_its_next_wait() {
    virtually(async {
        let task = create_task(async {
            cancel_current()?;
            let ready = running_loop()?.create_future();
            ready.set_result(3)?;
            let three = ready.await?;
            assert_eq!(three, 3, "what does not wait is not disturbed");
            sleep(SECOND).await?;
            Ok(())
        })?;
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), 0);
        Ok(())
    });
}

#[test]
fn it_goes_down_to_the_innermost_task_and_comes_back() {
    virtually(async {
        let inner = create_task(async {
            let result = nap(3600).await;
            sleep(SECOND).await?;
            result
        })?;
        let (middle, kept) = (inner.clone(), inner.clone());
        let outer = create_task(async move { middle.await })?;
        sleep(SECOND).await?;
        outer.cancel();
        assert!(!inner.is_done());
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(kept.is_cancelled());
        assert_eq!(now(), 2, "the outer one waited for the inner one's cleaning up");

        let stubborn = create_task(async {
            let _ = sleep(LONG).await;
            Ok("stayed")
        })?;
        let outer = create_task(async move { stubborn.await })?;
        yield_now().await?;
        outer.cancel();
        assert_eq!(outer.await?, "stayed");
        Ok(())
    });
}

#[test]
fn futures_of_other_crates_are_dropped() {
    virtually(async {
        let cleaned = Rc::new(Cell::new(false));
        let seen = Rc::clone(&cleaned);
        let task = create_task(async move {
            let result = cancellable(pending::<()>()).await;
            sleep(SECOND).await?;
            seen.set(true);
            Ok(result?)
        })?;
        let bare = create_task(async {
            pending::<()>().await;
            Ok(())
        })?;
        yield_now().await?;
        task.cancel();
        bare.cancel();
        assert!(bare.await.unwrap_err().is_cancelled());
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(cleaned.get());
        Ok(())
    });
}

#[test]
fn it_reaches_waits_inside_of_foreign_combinators() {
    use futures_util::future::{join, select};
    use futures_util::stream::{FuturesUnordered, StreamExt};
    virtually(async {
        let task = create_task(async {
            let mut all: FuturesUnordered<_> = (1..4).map(|n| nap(n * 1000)).collect();
            match all.next().await {
                Some(Err(error)) if error.is_cancelled() => Ok("met it"),
                _ => Ok("missed it"),
            }
        })?;
        sleep(SECOND).await?;
        task.cancel();
        assert_eq!(task.await?, "met it");

        let both = create_task(async { Ok(join(nap(1), nap(2)).await) })?;
        sleep(SECOND / 2).await?;
        both.cancel();
        let (first, second) = both.await?;
        assert!(first.unwrap_err().is_cancelled(), "one wait takes up one request");
        assert_eq!(second?, 2);

        let quick = create_task(async {
            select(Box::pin(nap(1)), Box::pin(nap(5))).await;
            Ok(())
        })?;
        quick.await?;
        Ok(())
    });
}

#[test]
fn a_timeout_becomes_an_error_after_cleaning_up() {
    virtually(async {
        assert_eq!(timeout(SECOND * 2, nap(1)).await?, 1);
        let error = timeout(SECOND, async {
            let result = nap(10).await;
            sleep(SECOND * 5).await?;
            result
        })
        .await
        .unwrap_err();
        assert!(error.is::<TimedOut>());
        assert_eq!(now(), 1 + 1 + 5);
        // A future of another crate, and a leaf of ours, without more ado.
        let forever = async {
            pending::<()>().await;
            Result::<()>::Ok(())
        };
        assert!(timeout(SECOND, forever).await.unwrap_err().is::<TimedOut>());
        assert!(timeout(SECOND, sleep(LONG)).await.unwrap_err().is::<TimedOut>());
        // The inner limit's request is not taken for the outer one's.
        let nested = timeout(SECOND * 10, timeout(SECOND, nap(5))).await;
        assert!(nested.unwrap_err().is::<TimedOut>());
        let outer = timeout(SECOND, timeout(SECOND * 10, nap(50))).await;
        assert!(outer.unwrap_err().is::<TimedOut>());
        Ok(())
    });
}

#[test]
fn a_timeout_leaves_the_cancellation_of_others_alone() {
    virtually(async {
        let task = create_task(async { timeout(SECOND * 5, nap(10)).await })?;
        sleep(SECOND).await?;
        task.cancel();
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is::<TimedOut>());

        let both = create_task(async { timeout(SECOND, nap(10)).await })?;
        let victim = both.clone();
        running_loop()?.call_later(SECOND, move || {
            victim.cancel();
        });
        let error = both.await.unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        let stubborn = timeout(SECOND, async {
            let _ = nap(10).await;
            Result::<_>::Ok("anyway")
        });
        assert_eq!(stubborn.await?, "anyway");
        assert_eq!(uncancel_current()?, 0);
        Ok(())
    });
}

#[test]
fn gather_keeps_order_and_tells_the_first_error() {
    virtually(async {
        assert_eq!(gather([nap(3), nap(1), nap(2)]).await?, [3, 1, 2]);
        assert_eq!(now(), 3);
        assert!(gather(Vec::<boros::Task<()>>::new()).await?.is_empty());

        let slow = create_task(nap(10))?;
        let bad = create_task(fail(1, "bad"))?;
        let error = gather([&slow, &bad]).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), now()), ("bad", 4));
        assert!(!slow.is_done());
        assert_eq!(slow.await?, 10, "the others go on");

        let results =
            gather_settled([create_task(nap(1))?, create_task(fail(2, "worse"))?]).await?;
        assert_eq!(*results[0].as_ref().unwrap(), 1);
        assert_eq!(results[1].as_ref().unwrap_err().to_string(), "worse");
        Ok(())
    });
}

#[test]
fn cancelling_a_gather_cancels_all() {
    virtually(async {
        for settle in [false, true] {
            let tasks = [create_task(nap(10))?, create_task(nap(20))?];
            let children = tasks.clone();
            let waiter = create_task(async move {
                if settle {
                    gather_settled(tasks).await.map(drop)
                } else {
                    gather(tasks).await.map(drop)
                }
            })?;
            sleep(SECOND).await?;
            waiter.cancel();
            assert!(waiter.await.unwrap_err().is_cancelled());
            assert!(children.iter().all(boros::Task::is_cancelled));
        }
        Ok(())
    });
}

#[test]
fn a_shield_keeps_the_task_going() {
    virtually(async {
        let inner = create_task(nap(5))?;
        let shielded = inner.clone();
        let outer = create_task(async move { shield(shielded).await })?;
        sleep(SECOND).await?;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!((inner.await?, now()), (5, 5));
        assert_eq!(shield(nap(1)).await?, 1);
        Ok(())
    });
}

#[test]
fn wait_answers_as_it_was_told_and_cancels_nobody() {
    virtually(async {
        let tasks = [create_task(nap(1))?, create_task(fail(2, "two"))?, create_task(nap(3))?];
        let first = wait(&tasks, ReturnWhen::FirstCompleted, None).await?;
        assert_eq!((first.done.len(), first.pending.len(), now()), (1, 2, 1));
        let failed = wait(&tasks, ReturnWhen::FirstException, None).await?;
        assert_eq!((failed.done.len(), now()), (2, 2));
        let late = wait(&tasks, ReturnWhen::AllCompleted, Some(SECOND / 2)).await?;
        assert_eq!(late.pending, [tasks[2].clone()]);
        let watcher = tasks.clone();
        let waiter = create_task(async move {
            wait(&watcher, ReturnWhen::AllCompleted, None).await?;
            Ok(())
        })?;
        yield_now().await?;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(!tasks[2].is_done());
        let all = wait(&tasks, ReturnWhen::AllCompleted, None).await?;
        assert_eq!((all.done.len(), now()), (3, 3));
        assert_eq!(tasks[1].exception().unwrap().to_string(), "two");
        Ok(())
    });
}

#[test]
fn tasks_are_handed_out_as_they_complete() {
    virtually(async {
        let mut order = Vec::new();
        let mut arrivals = as_completed([nap(3), nap(1), nap(2)])?;
        while let Some(task) = arrivals.next().await? {
            order.push(task.await?);
        }
        assert_eq!(order, [1, 2, 3]);
        Ok(())
    });
}

#[test]
fn a_group_ends_together() {
    virtually(async {
        let sum = task_group(async |group| {
            let tasks = [group.create_task(nap(1))?, group.create_task(nap(2))?];
            let [one, two] = tasks;
            Ok(one.await? + two.await?)
        });
        assert_eq!(sum.await?, 3);

        let seen = Rc::new(Cell::new(false));
        let sibling = Rc::clone(&seen);
        let error = task_group(async move |group| {
            group.create_task(async move {
                let result = nap(60).await;
                sibling.set(result.is_err());
                result
            })?;
            group.create_task(fail(1, "one"))?;
            group.create_task(fail(1, "another"))?;
            nap(60).await
        })
        .await
        .unwrap_err();
        let group = error.downcast_ref::<GroupError>().unwrap();
        let texts: Vec<_> = group.errors().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["one", "another"]);
        assert!(seen.get() && !error.is_cancelled());
        assert_eq!(uncancel_current()?, 0);
        sleep(SECOND).await?;
        Ok(())
    });
}

#[test]
fn a_group_whose_body_fails_or_is_cancelled_cancels_its_tasks() {
    virtually(async {
        let task = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&task);
        let error = task_group(async move |group| {
            *slot.borrow_mut() = Some(group.create_task(nap(60))?);
            yield_now().await?;
            Result::<()>::Err(Error::msg("body"))
        })
        .await
        .unwrap_err();
        assert_eq!(error.to_string(), "1 task failed: body");
        assert!(task.borrow().as_ref().unwrap().is_cancelled());

        let slot = Rc::clone(&task);
        let whole = create_task(task_group(async move |group| {
            *slot.borrow_mut() = Some(group.create_task(nap(60))?);
            Ok(())
        }))?;
        sleep(SECOND).await?;
        whole.cancel();
        assert!(whole.await.unwrap_err().is_cancelled());
        assert!(task.borrow().as_ref().unwrap().is_cancelled());

        let mut kept = None;
        task_group(async |group| {
            kept = Some(group.clone());
            Ok(())
        })
        .await?;
        let late = kept.unwrap().create_task(nap(1)).unwrap_err();
        assert_eq!(late, InvalidState::GroupInactive);
        Ok(())
    });
}

#[test]
fn a_coroutine_is_raised_the_cancellation_at_its_yield() {
    virtually(async {
        let cleaned = Rc::new(Cell::new(0));
        let seen = Rc::clone(&cleaned);
        let body: BoxCoroutine<'_, Sleep, (), u64, Error> =
            coroutine(async move |mut co| match co.yield_(sleep(LONG)).await {
                Err(CoroError::Raised(error)) if Error::is_cancelled(&error) => {
                    co.yield_(sleep(SECOND)).await?;
                    seen.set(now());
                    Err(CoroError::Raised(error))
                }
                other => other.map(|()| 1),
            })
            .boxed();
        let task = create_task(drive(body))?;
        sleep(SECOND).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(cleaned.get(), 2);
        Ok(())
    });
}

#[test]
fn generators_take_turns() {
    virtually(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let count = |name: char| {
            let log = Rc::clone(&log);
            create_task(drive_turns(
                generator(async move |mut co| {
                    for step in 0..2 {
                        log.borrow_mut().push((name, step));
                        co.yield_(step).await;
                    }
                    name
                })
                .boxed(),
            ))
        };
        assert_eq!(gather([count('a')?, count('b')?]).await?, ['a', 'b']);
        assert_eq!(*log.borrow(), [('a', 0), ('b', 0), ('a', 1), ('b', 1)]);
        Ok(())
    });
}

#[test]
fn what_is_left_at_the_end_is_cancelled_and_waited_for() {
    let cleaned = Rc::new(Cell::new(false));
    let seen = Rc::clone(&cleaned);
    virtually(async move {
        create_task(async move {
            let result = sleep(LONG).await;
            sleep(SECOND).await?;
            seen.set(true);
            Ok(result?)
        })?;
        yield_now().await?;
        Ok(())
    });
    assert!(cleaned.get());
}

#[test]
fn a_dropped_async_generator_is_ended_by_the_loop() {
    use boros::coro::{BoxAsyncGenerator, async_generator};
    let cleaned = Rc::new(Cell::new(false));
    let seen = Rc::clone(&cleaned);
    virtually(async move {
        let handle = running_loop()?;
        let generator: BoxAsyncGenerator<'static, u32> = async_generator(async move |mut co| {
            let result = co.yield_(1).await;
            let _ = sleep(SECOND).await;
            seen.set(true);
            result.map(drop)
        })
        .boxed();
        let mut generator = generator.with_hooks(handle.asyncgen_hooks());
        assert_eq!(generator.anext().await.unwrap(), Some(1));
        drop(generator);
        handle.shutdown_asyncgens().await
    });
    assert!(cleaned.get());
}

#[test]
fn long_chains_and_circles_of_tasks_are_cancelled() {
    virtually(async {
        let mut last = create_task(nap(3600))?;
        for _ in 0..200_000 {
            let next = last;
            last = create_task(async move { next.await })?;
        }
        yield_now().await?;
        last.cancel();
        assert!(last.await.unwrap_err().is_cancelled());

        let slot = Rc::new(RefCell::new(None::<Task<u64>>));
        let theirs = Rc::clone(&slot);
        let one = create_task(async move {
            yield_now().await?;
            let other = theirs.borrow_mut().take();
            other.expect("it was put there").await
        })?;
        let awaited = one.clone();
        let other = create_task(async move { awaited.await })?;
        *slot.borrow_mut() = Some(other.clone());
        sleep(SECOND).await?;
        one.cancel();
        assert!(other.await.unwrap_err().is_cancelled());
        assert!(one.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
