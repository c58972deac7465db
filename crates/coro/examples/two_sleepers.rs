//! Concurrency by hand: two coroutines sleep at once, and a loop goes round between them until both are awake.
use std::cell::Cell;

use boros_coro::Progress::{Returned, Yielded};
use boros_coro::{BoxCoroutine, Error, coroutine};
use std::convert::Infallible;

/// The loop's clock, in ticks: it moves when the loop has gone round once.
#[derive(Default)]
struct Clock(Cell<u32>);

type Sleeper<'c> = BoxCoroutine<'c, &'static str, &'static str, u32>;

/// Sleeps for some ticks, hearing each question in its sleep; returns how long it slept.
fn sleeper<'c>(name: &'static str, ticks: u32, clock: &'c Clock) -> Sleeper<'c> {
    coroutine(async move |mut co| {
        let start = clock.0.get();
        while clock.0.get() - start < ticks {
            let heard = co.yield_("still asleep").await?;
            println!("  {name} hears: {heard}");
        }
        Ok(clock.0.get() - start)
    })
    .boxed()
}

fn main() -> Result<(), Error<Infallible>> {
    let clock = Clock::default();
    let mut sleepers = vec![("Ann", sleeper("Ann", 2, &clock)), ("Ben", sleeper("Ben", 4, &clock))];
    let mut slept = Vec::new();
    for (_, sleeper) in &mut sleepers {
        sleeper.start()?;
    }
    while !sleepers.is_empty() {
        clock.0.set(clock.0.get() + 1);
        println!("tick {}", clock.0.get());
        let mut asleep = Vec::new();
        for (name, mut sleeper) in sleepers {
            match sleeper.send("are you awake?")? {
                Yielded(answer) => {
                    println!("  {name}: {answer}");
                    asleep.push((name, sleeper));
                }
                Returned(ticks) => {
                    println!("  {name}: awake");
                    slept.push((name, ticks));
                }
            }
        }
        sleepers = asleep;
    }
    let total: u32 = slept.iter().map(|(_, ticks)| ticks).sum();
    println!("slept {slept:?}: {total} ticks of sleep in {} ticks", clock.0.get());
    Ok(())
}
