//! Endless sequences as generators: Fibonacci's numbers, Lucas' numbers, and searches in them.
use std::pin::pin;

use boros_coro::{BoxGenerator, Yielder, generator};

/// The sequence in which each number is the sum of the two before it.
async fn sums(mut co: Yielder<'_, '_, u128>, first: u128, second: u128) {
    let (mut this, mut next) = (first, second);
    loop {
        co.yield_(this).await;
        (this, next) = (next, this + next);
    }
}

fn fibonacci() -> BoxGenerator<'static, u128> {
    generator(async |co| sums(co, 1, 1).await).boxed()
}

fn lucas() -> BoxGenerator<'static, u128> {
    generator(async |co| sums(co, 2, 1).await).boxed()
}

fn main() {
    let joined =
        |numbers: Vec<u128>| numbers.iter().map(u128::to_string).collect::<Vec<_>>().join(" ");

    println!("Fibonacci, the first twelve: {}", joined(fibonacci().take(12).collect()));
    println!(
        "Fibonacci, below 100:        {}",
        joined(fibonacci().take_while(|&n| n < 100).collect())
    );
    println!("Lucas, the first ten:        {}", joined(lucas().take(10).collect()));

    let six_digits = lucas().find(|n| n.to_string().len() == 6);
    println!("the first Lucas number of six digits: {}", six_digits.unwrap_or_default());

    let in_both: Vec<_> =
        fibonacci().take(20).filter(|n| lucas().take(20).any(|m| m == *n)).collect();
    println!("in both sequences: {}", joined(in_both));

    // On the stack, where nothing is allocated.
    let mut on_the_stack = pin!(generator(async |co| sums(co, 1, 1).await));
    println!("the hundredth Fibonacci number: {}", on_the_stack.nth(99).unwrap_or_default());
}
