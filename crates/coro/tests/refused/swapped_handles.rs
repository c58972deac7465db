//! The handles of two bodies cannot be swapped.
use boros_coro::{Yielder, generator};

fn main() {
    let _ = generator(async |mut outer: Yielder<'_, 'static, u8>| {
        let _ = generator(async |mut inner: Yielder<'_, 'static, u8>| {
            std::mem::swap(&mut outer, &mut inner);
        });
    });
}
