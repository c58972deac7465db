//! A generator is pinned to be stepped.
use boros_coro::{Yielder, generator};

fn main() {
    let mut unpinned = generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await);
    unpinned.next();
}
