//! The scheduler of generators.
use std::cell::RefCell;
use std::time::Duration;

use boros::coro::{BoxCoroutine, BoxGenerator, Error as CoroError, coroutine, generator};
use boros::reactor::{Clock, Time};
use boros::{Error, Panicked, Pause, Scheduler, StepEnd};

const SECOND: Duration = Duration::from_secs(1);

fn simulated() -> Clock {
    Clock::simulated(Time::default())
}

fn letters<'a>(name: char, steps: u32, log: &'a RefCell<String>) -> BoxGenerator<'a, (), u32> {
    generator(async move |mut co| {
        for _ in 0..steps {
            log.borrow_mut().push(name);
            co.yield_(()).await;
        }
        steps
    })
    .boxed()
}

#[test]
fn routines_take_turns_and_leave_results() {
    let log = RefCell::new(String::new());
    let mut scheduler = Scheduler::new();
    let ids = [('a', 3), ('b', 1), ('c', 2)]
        .map(|(name, steps)| scheduler.add(letters(name, steps, &log)));
    assert_eq!(scheduler.routines(), ids);
    scheduler.run();
    assert_eq!(*log.borrow(), "abcaca");
    assert_eq!(ids.map(|id| scheduler.take_result(id).unwrap().unwrap()), [3, 1, 2]);
    assert!(scheduler.result(ids[0]).is_none() && scheduler.step().is_none());
}

#[test]
fn sleepers_wake_in_time_and_virtual_time_is_free() {
    let (log, clock) = (RefCell::new(Vec::new()), simulated());
    let mut scheduler = Scheduler::with_clock(clock.clone());
    for (name, seconds) in [('a', 3), ('b', 1)] {
        let (log, clock) = (&log, clock.clone());
        scheduler.add(generator(async move |mut co| {
            for _ in 0..2 {
                co.yield_(SECOND * seconds).await;
                log.borrow_mut().push((name, clock.now().as_secs_f64()));
            }
        }));
    }
    scheduler.run();
    assert_eq!(*log.borrow(), [('b', 1.0), ('b', 2.0), ('a', 3.0), ('a', 6.0)]);
}

#[test]
fn failures_and_panics_end_one_routine_only() {
    let mut scheduler = Scheduler::new();
    let fails: BoxCoroutine<'_, Pause, (), (), Error> = coroutine(async |mut co| {
        co.yield_(Pause::Turn).await?;
        Err(CoroError::Raised(Error::msg("no more")))
    })
    .boxed();
    let fails = scheduler.add(fails);
    let panics = scheduler.add(generator(async |mut co| {
        co.yield_(()).await;
        panic!("deliberate");
    }));
    let fine = scheduler.add(generator(async |mut co| co.yield_(()).await));
    scheduler.run();
    assert_eq!(scheduler.take_result(fails).unwrap().unwrap_err().to_string(), "no more");
    let error = scheduler.take_result(panics).unwrap().unwrap_err();
    assert!(error.is::<Panicked>());
    assert!(scheduler.take_result(fine).unwrap().is_ok());
}

#[test]
fn steps_are_traced_and_long_ones_reported() {
    let (trace, blocked, clock) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()), simulated());
    let mut scheduler = Scheduler::with_clock(clock.clone());
    scheduler.on_step(|step| {
        let end = match step.end {
            StepEnd::Paused(_) => "paused",
            StepEnd::Returned => "returned",
            StepEnd::Failed(_) => "failed",
        };
        trace.borrow_mut().push((step.id.to_string(), step.count, end));
    });
    scheduler.on_blocking(SECOND, |step| blocked.borrow_mut().push((step.id, step.took)));
    let slow = scheduler.add(generator(async |mut co| {
        co.yield_(()).await;
        // As long as this, nothing else ran.
        clock.advance_to(clock.now().after(SECOND * 5));
    }));
    scheduler.run();
    let expected = [("1".to_owned(), 1, "paused"), ("1".to_owned(), 2, "returned")];
    assert_eq!(*trace.borrow(), expected);
    assert_eq!(*blocked.borrow(), [(slow, SECOND * 5)]);
}
