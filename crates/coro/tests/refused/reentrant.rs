//! A body cannot step itself.
use boros_coro::{BoxGenerator, Yielder, generator};

fn main() {
    let mut body: Option<BoxGenerator<'_, u8>> = None;
    body = Some(
        generator(async |mut co: Yielder<'_, '_, u8>| {
            co.yield_(body.as_mut().map_or(0, |body| body.next().unwrap_or(0))).await;
        })
        .boxed(),
    );
    drop(body);
}
