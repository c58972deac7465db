//! A generator from its making to its end, with its state at every moment, also as it sees itself.
use boros_coro::{BoxGenerator, Error, Resume, Shared, State, generator};

type Countdown = BoxGenerator<'static, u32, &'static str>;

/// Counts down, and tells what its own state is whenever it runs.
fn countdown(from: u32) -> Shared<Countdown> {
    Shared::new_cyclic(|me| {
        generator(async move |mut co| {
            let own_state = || me.upgrade().map_or(State::Closed, |me| me.state());
            println!("    body: begins, {}", own_state());
            for left in (1..=from).rev() {
                println!("    body: about to yield {left}, {}", own_state());
                co.yield_(left).await;
            }
            println!("    body: ends, {}", own_state());
            "lift-off"
        })
        .boxed()
    })
}

fn main() {
    let counting = countdown(2);
    println!("made:   {}, and nothing of the body has run", counting.state());
    for _ in 0..4 {
        println!("step:");
        match counting.step(Resume::Next) {
            Ok(progress) => println!("  {progress:?}, now {}", counting.state()),
            Err(Error::Misuse(misuse)) => println!("  refused: {:?}", misuse.kind()),
            Err(error) => println!("  raised: {error}"),
        }
    }

    let mut abandoned = countdown(9);
    println!("another: {}", abandoned.state());
    let _ = abandoned.step(Resume::Next);
    println!("stepped: {}", abandoned.state());
    let _ = abandoned.close();
    println!("closed:  {}", abandoned.state());

    abandoned = countdown(1);
    println!("a fresh one is independent of it: {}", abandoned.state());
}
