//! A search for primes beside a message at intervals, on the scheduler: with a search that blocks, and with one that gives up
//! its turn. The clock is virtual: a hundred divisions take a millisecond.
use std::cell::Cell;
use std::time::Duration;

use boros::coro::{Yielder, generator};
use boros::reactor::{Clock, Time};
use boros::{Pause, Scheduler};

const MILLISECOND: Duration = Duration::from_millis(1);

/// 2, 1, 3, 4, 7, 11, …
fn lucas() -> impl Iterator<Item = u64> {
    std::iter::successors(Some((2, 1)), |(this, next)| Some((*next, this + next)))
        .map(|(this, _)| this)
}

/// Whether `number` is a prime, letting others have their turn now and then if it is told to.
async fn is_prime(number: u64, clock: &Clock, co: Option<&mut Yielder<'_, '_, Pause>>) -> bool {
    let mut co = co;
    let mut divisor = 2;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
        if divisor.is_multiple_of(100) {
            clock.advance_to(clock.now().after(MILLISECOND));
            if let Some(co) = &mut co {
                co.yield_(Pause::Turn).await;
            }
        }
    }
    number >= 2
}

fn search(blocking: bool) {
    let clock = Clock::simulated(Time::default());
    let found_all = Cell::new(false);
    let mut scheduler = Scheduler::with_clock(clock.clone());
    scheduler.on_blocking(MILLISECOND * 200, |step| {
        println!("    routine {} blocked all others for {:?}", step.id, step.took);
    });
    scheduler.add(generator(async |mut co| {
        while !found_all.get() {
            println!("{:.3} s: the message", clock.now().as_secs_f64());
            co.yield_(Pause::Sleep(MILLISECOND * 250)).await;
        }
    }));
    scheduler.add(generator(async |mut co| {
        for number in lucas().skip(15).take(34) {
            let prime = is_prime(number, &clock, (!blocking).then_some(&mut co)).await;
            if prime {
                println!("    found {number}");
            }
            co.yield_(Pause::Turn).await;
        }
        found_all.set(true);
    }));
    scheduler.run();
}

fn main() {
    println!("blocking:");
    search(true);
    println!("giving up its turn:");
    search(false);
}
