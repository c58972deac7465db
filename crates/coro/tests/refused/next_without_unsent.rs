//! `next` needs a value that means "nothing was sent".
use boros_coro::{BoxCoroutine, Co, coroutine};

fn main() {
    let mut body: BoxCoroutine<'_, f64, f64> =
        coroutine(async |mut co: Co<'_, '_, f64, f64>| co.yield_(1.0).await.map(drop)).boxed();
    let _ = body.next();
}
