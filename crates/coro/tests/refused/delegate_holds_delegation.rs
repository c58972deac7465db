//! A delegate cannot hold the delegation that runs it, and with it drop itself while it runs.
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use boros_coro::{Yielder, generator};

fn main() {
    let _ = generator(async |mut co: Yielder<'_, '_, u8>| {
        let slot = Rc::new(Cell::new(None));
        let inside = Rc::clone(&slot);
        let delegate = generator(async move |_: Yielder<'_, '_, u8>| {
            drop(inside.take());
        });
        let delegation: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(async move {
            co.yield_from(delegate).await;
        });
        slot.set(Some(delegation));
    });
}
