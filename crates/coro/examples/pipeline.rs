//! A pipeline of generators: lines to words, words to numbers, numbers to totals, one item at a time.
use boros_coro::{BoxGenerator, generator};

const LEDGER: &str = "\
# stall, morning
12 apples  3 pears
7 plums
# stall, evening
20 apples  nothing else";

/// Lines that say something.
fn lines(text: &str) -> BoxGenerator<'_, &str> {
    generator(async move |mut co| {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            println!("lines:   {line:?}");
            co.yield_(line).await;
        }
    })
    .boxed()
}

/// The words of each line.
fn words<'a>(input: impl Iterator<Item = &'a str> + 'a) -> BoxGenerator<'a, &'a str> {
    generator(async move |mut co| {
        for line in input {
            co.yield_all(line.split_whitespace()).await;
        }
    })
    .boxed()
}

/// Numbers, leaving out what is none.
fn numbers<'a>(input: impl Iterator<Item = &'a str> + 'a) -> BoxGenerator<'a, u32> {
    generator(async move |mut co| {
        for word in input {
            if let Ok(number) = word.parse() {
                println!("numbers: {number}");
                co.yield_(number).await;
            }
        }
    })
    .boxed()
}

/// The total so far.
fn totals<'a>(input: impl Iterator<Item = u32> + 'a) -> BoxGenerator<'a, u32> {
    generator(async move |mut co| {
        let mut total = 0;
        for number in input {
            total += number;
            co.yield_(total).await;
        }
    })
    .boxed()
}

fn main() {
    println!("the whole way, an item at a time:");
    for total in totals(numbers(words(lines(LEDGER)))) {
        println!("total:   {total}");
    }

    println!("only as far as is asked for:");
    let first_over_ten = totals(numbers(words(lines(LEDGER)))).find(|&total| total > 10);
    println!("found:   {first_over_ten:?}");
}
