//! A generator that was pinned cannot be moved.
use std::pin::Pin;

use boros_coro::{Yielder, generator};

fn main() {
    let mut body = generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await);
    Pin::new(&mut body).next();
}
