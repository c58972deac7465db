//! What generators do for iteration: sequences on demand, that are independent, limited, and can be walked backwards.
use boros_coro::{BoxGenerator, generator};

/// A sequence described once and walked any number of times, forwards or backwards.
#[derive(Clone, Copy)]
struct Steps {
    from: i64,
    to: i64,
    by: i64,
}

impl Steps {
    fn len(self) -> i64 {
        ((self.to - self.from + self.by - 1) / self.by).max(0)
    }

    fn walk(self) -> BoxGenerator<'static, i64> {
        generator(async move |mut co| {
            for step in 0..self.len() {
                co.yield_(self.from + step * self.by).await;
            }
        })
        .boxed()
    }

    fn walk_back(self) -> BoxGenerator<'static, i64> {
        generator(async move |mut co| {
            for step in (0..self.len()).rev() {
                co.yield_(self.from + step * self.by).await;
            }
        })
        .boxed()
    }
}

impl IntoIterator for Steps {
    type Item = i64;
    type IntoIter = BoxGenerator<'static, i64>;

    fn into_iter(self) -> Self::IntoIter {
        self.walk()
    }
}

/// The squares of the numbers from 1 on, without end, telling when each is computed.
fn squares() -> BoxGenerator<'static, u64> {
    generator(async |mut co| {
        for n in 1u64.. {
            println!("  computing the square of {n}");
            co.yield_(n * n).await;
        }
    })
    .boxed()
}

fn main() {
    println!("on demand: two squares are asked for, two are computed");
    for square in squares().take(2) {
        println!("  got {square}");
    }

    let steps = Steps { from: 10, to: 31, by: 5 };
    println!("one description, walked twice at once:");
    let (mut ahead, mut behind) = (steps.walk(), steps.walk());
    ahead.next();
    ahead.next();
    println!("  the one ahead is at {:?}, the one behind at {:?}", ahead.next(), behind.next());
    println!(
        "  what is left: {:?} and {:?}",
        ahead.collect::<Vec<_>>(),
        behind.collect::<Vec<_>>()
    );

    println!("in a loop, twice:");
    for round in 1..=2 {
        let walked: Vec<_> = steps.into_iter().map(|n| n.to_string()).collect();
        println!("  round {round}: {}", walked.join(" "));
    }

    println!("backwards: {:?}", steps.walk_back().collect::<Vec<_>>());

    let mut short = Steps { from: 0, to: 2, by: 1 }.walk();
    println!(
        "limited:   {:?} {:?} {:?} {:?}",
        short.next(),
        short.next(),
        short.next(),
        short.next()
    );
}
