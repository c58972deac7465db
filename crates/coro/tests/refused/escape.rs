//! A handle cannot leave its body.
use boros_coro::{Yielder, generator};

fn main() {
    let mut kept = None;
    let _ = generator(async |co: Yielder<'_, '_, u8>| {
        kept = Some(co);
    });
}
