//! A generator is Send only if its body is.
use std::rc::Rc;

use boros_coro::{Yielder, generator};

fn main() {
    let held = Rc::new(1u8);
    let _ = generator(async move |mut co: Yielder<'_, '_, u8>| {
        co.yield_(*held).await;
        drop(held);
    })
    .boxed_send();
}
