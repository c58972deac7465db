//! A view is gone when the body runs again.
use boros_coro::{Yielder, generator};

fn main() {
    let mut body = generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await).boxed();
    let view = body.view();
    body.next();
    let _ = view.state();
}
