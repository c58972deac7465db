//! One yield at a time.
use boros_coro::{Yielder, generator};

fn main() {
    let _ = generator(async |mut co: Yielder<'_, '_, u8>| {
        let first = co.yield_(1);
        let second = co.yield_(2);
        first.await;
        second.await;
    });
}
