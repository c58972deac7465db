//! A box made by `boxed` stays in its thread.
use boros_coro::{Yielder, generator};

fn main() {
    let mut boxed = generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await).boxed();
    std::thread::spawn(move || boxed.next());
}
