//! A search for primes beside a message at intervals, as two tasks of the event loop. The clock is virtual: a hundred divisions
//! take a millisecond.
use std::time::Duration;

use boros::reactor::{Clock, Time};
use boros::{EventLoop, Result, create_task, sleep, yield_now};

const MILLISECOND: Duration = Duration::from_millis(1);

/// 2, 1, 3, 4, 7, 11, …
fn lucas() -> impl Iterator<Item = u64> {
    std::iter::successors(Some((2, 1)), |(this, next)| Some((*next, this + next)))
        .map(|(this, _)| this)
}

async fn is_prime(number: u64, clock: &Clock) -> Result<bool> {
    let mut divisor = 2;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            return Ok(false);
        }
        divisor += 1;
        if divisor.is_multiple_of(100) {
            clock.advance_to(clock.now().after(MILLISECOND));
            yield_now().await?;
        }
    }
    Ok(number >= 2)
}

async fn message(clock: Clock) -> Result<()> {
    loop {
        println!("{:.3} s: the message", clock.now().as_secs_f64());
        if let Err(cancelled) = sleep(MILLISECOND * 250).await {
            println!("{:.3} s: no more messages", clock.now().as_secs_f64());
            return Err(cancelled.into());
        }
    }
}

async fn search(clock: Clock) -> Result<usize> {
    let messages = create_task(message(clock.clone()))?;
    let mut found = 0;
    for number in lucas().take(49) {
        if is_prime(number, &clock).await? {
            println!("    found {number}");
            found += 1;
        }
        yield_now().await?;
    }
    messages.cancel();
    let ended = messages.await;
    assert!(ended.is_err_and(|error| error.is_cancelled()));
    Ok(found)
}

fn main() -> Result<()> {
    let clock = Clock::simulated(Time::default());
    let event_loop = EventLoop::with_clock(clock.clone())?;
    let found = event_loop.run_until_complete(search(clock))?;
    println!("{found} primes among the first 49");
    Ok(())
}
