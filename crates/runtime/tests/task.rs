//! Tasks and futures: results, callbacks, wakers, what is to be seen of them.
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use boros::{
    Error, EventLoop, InvalidState, Panicked, Result, TaskState, WaitsFor, create_task,
    current_task, running_loop, sleep, yield_now,
};

#[test]
fn tasks_take_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    boros::run(async move {
        let mut tasks = Vec::new();
        for name in ['a', 'b'] {
            let log = Rc::clone(&seen);
            tasks.push(create_task(async move {
                for step in 0..3 {
                    log.borrow_mut().push((name, step));
                    yield_now().await?;
                }
                Ok(name)
            })?);
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(*log.borrow(), [('a', 0), ('b', 0), ('a', 1), ('b', 1), ('a', 2), ('b', 2)]);
}

#[test]
fn a_value_goes_to_the_first_and_copies_to_all_who_share() {
    boros::run(async {
        let task = create_task(async { Ok(5) })?;
        assert_eq!(task.shared().await?, 5);
        assert_eq!(task.result()?, 5);
        assert_eq!((&task).await?, 5);
        let error = task.await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&InvalidState::Taken));

        let failed = create_task(async { Result::<()>::Err(Error::msg("no")) })?;
        let first = (&failed).await.unwrap_err();
        let second = (&failed).await.unwrap_err();
        assert!(first.is_same(&second));
        assert!(failed.exception().unwrap().is_same(&first));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_ends_its_task_only() {
    boros::run(async {
        let task = create_task(async {
            yield_now().await?;
            Ok("none".parse::<u32>().expect("a planted panic"))
        })?;
        let error = task.await.unwrap_err();
        assert!(error.downcast_ref::<Panicked>().unwrap().0.contains("a planted panic"));
        Ok(())
    })
    .unwrap();
}

#[test]
fn callbacks_are_called_once_in_order_unless_they_are_removed() {
    let event_loop = EventLoop::new().unwrap();
    let future = event_loop.create_future::<u32>();
    let log = Rc::new(RefCell::new(Vec::new()));
    let add = |name: &'static str| {
        let log = Rc::clone(&log);
        future.add_done_callback(move |future| {
            log.borrow_mut().push((name, future.result().unwrap()));
        })
    };
    add("first");
    let second = add("second");
    add("third");
    assert!(future.remove_done_callback(second));
    assert!(!future.remove_done_callback(second));
    future.set_result(1).unwrap();
    assert_eq!(future.set_result(2), Err(InvalidState::AlreadyDone));
    assert!(log.borrow().is_empty(), "callbacks come in a later turn");
    event_loop.run_until_complete(async { yield_now().await.map_err(Error::from) }).unwrap();
    assert_eq!(*log.borrow(), [("first", 1), ("third", 1)]);
    add("late");
    event_loop.run_until_complete(async { yield_now().await.map_err(Error::from) }).unwrap();
    assert_eq!(log.borrow().last(), Some(&("late", 1)));
}

#[test]
fn futures_carry_errors_and_cancellation() {
    boros::run(async {
        let handle = running_loop()?;
        let future = handle.create_future::<()>();
        assert!(future.result().unwrap_err().downcast_ref() == Some(&InvalidState::NotDone));
        future
            .set_exception(Error::msg("bad").as_error().to_string().parse::<u8>().unwrap_err())?;
        assert!((&future).await.unwrap_err().is::<std::num::ParseIntError>());
        let future = handle.create_future::<()>();
        assert!(future.cancel_with("not needed") && !future.cancel());
        assert!(future.is_cancelled());
        assert_eq!(future.await.unwrap_err().to_string(), "cancelled: not needed");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_task_does_not_await_itself() {
    boros::run(async {
        let slot = Rc::new(RefCell::new(None::<boros::Task<()>>));
        let seen = Rc::clone(&slot);
        let task = create_task(async move {
            let own = seen.borrow().clone();
            match own {
                Some(own) => own.await,
                None => Ok(()),
            }
        })?;
        *slot.borrow_mut() = Some(task.clone());
        assert_eq!(task.await.unwrap_err().downcast_ref(), Some(&InvalidState::AwaitsItself));
        Ok(())
    })
    .unwrap();
}

#[test]
fn wakers_wake_from_here_and_from_other_threads() {
    boros::run(async {
        for elsewhere in [false, true] {
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls == 3 {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                if elsewhere {
                    std::thread::spawn(move || {
                        waker.wake_by_ref();
                        waker.wake();
                    });
                } else {
                    waker.wake_by_ref();
                    waker.wake();
                }
                Poll::Pending
            })
            .await;
            assert_eq!(polls, 3, "two wake-ups at once are one");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_waker_of_a_task_that_has_ended_wakes_nobody() {
    boros::run(async {
        let kept = Rc::new(RefCell::new(None::<Waker>));
        let keep = Rc::clone(&kept);
        create_task(poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(Ok(()))
        }))?
        .await?;
        let next = create_task(async {
            sleep(Duration::from_millis(2)).await?;
            Ok(current_task()?.steps)
        })?;
        yield_now().await?;
        kept.borrow().as_ref().unwrap().wake_by_ref();
        assert_eq!(next.await?, 2, "stepped to begin and to end, not in between");
        Ok(())
    })
    .unwrap();
}

#[test]
fn tasks_show_where_they_wait() {
    boros::run_virtual(async {
        let handle = running_loop()?;
        let line = line!() + 2;
        let sleeper = create_task(async {
            sleep(Duration::from_secs(10)).await?;
            Ok(())
        })?
        .named("sleeper");
        let awaited = sleeper.clone();
        let waiter = create_task(async move { awaited.await })?;
        assert_eq!(sleeper.info().state, TaskState::Created);
        sleep(Duration::from_secs(3)).await?;

        let info = sleeper.info();
        assert_eq!(info.state, TaskState::Waiting);
        assert_eq!((info.age, info.steps), (Duration::from_secs(3), 1));
        let at = info.waits[0].at.unwrap();
        assert_eq!((at.file(), at.line()), (file!(), line));
        assert!(matches!(info.waits[0].on, WaitsFor::Sleep(_)));
        assert_eq!(waiter.info().waits[0].on, WaitsFor::Task("sleeper".into()));
        assert_eq!(waiter.info().waits[0].at.unwrap().line(), line + 5);
        assert_eq!(
            format!("{waiter:?}"),
            format!("<Task-3 waiting for task sleeper at {}:{}>", file!(), line + 5)
        );

        let states: Vec<_> = handle.all_tasks().into_iter().map(|task| task.state).collect();
        assert_eq!(states, [TaskState::Running, TaskState::Waiting, TaskState::Waiting]);
        assert!(sleeper.cancel());
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(sleeper.info().state, TaskState::Cancelled);
        assert_eq!(handle.all_tasks().len(), 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn virtual_time_is_free_and_in_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    boros::run_virtual(async move {
        let start = running_loop()?.time();
        let mut tasks = Vec::new();
        for days in [3u64, 1, 2, 1] {
            let log = Rc::clone(&seen);
            tasks.push(create_task(async move {
                sleep(Duration::from_secs(days * 86_400)).await?;
                log.borrow_mut().push(days);
                Ok(())
            })?);
        }
        for task in tasks {
            task.await?;
        }
        let days = running_loop()?.time().since(start).as_secs_f64() / 86_400.0;
        assert!((days - 3.0).abs() < 1e-9);
        Ok(())
    })
    .unwrap();
    assert_eq!(*log.borrow(), [1, 1, 2, 3]);
}
