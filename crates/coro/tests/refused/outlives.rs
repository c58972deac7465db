//! A boxed generator does not outlive what its body borrows.
use boros_coro::{BoxGenerator, Yielder, generator};

fn main() {
    let boxed: BoxGenerator<'_, usize>;
    {
        let text = String::from("gone");
        boxed = generator(async |mut co: Yielder<'_, '_, usize>| co.yield_(text.len()).await).boxed();
    }
    drop(boxed);
}
