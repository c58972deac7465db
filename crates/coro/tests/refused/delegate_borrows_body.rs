//! A delegate cannot borrow from the body that delegates to it: the delegation could be leaked, and the variable dropped.
use boros_coro::{Yielder, generator};

fn main() {
    let _ = generator(async |mut co: Yielder<'_, '_, usize>| {
        let local = String::new();
        co.yield_from(generator(async |mut co: Yielder<'_, '_, usize>| {
            co.yield_(local.len()).await;
        }))
        .await;
    });
}
