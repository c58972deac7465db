//! Generators and coroutines with Python's protocol, on stable Rust.
//!
//! A body is written as straight-line code that yields: an async closure or function, given a handle to yield through.
//!
//! ```
//! use boros_coro::{BoxCoroutine, BoxGenerator, Progress, State, coroutine, generator};
//!
//! // A generator is an iterator.
//! let fibonacci: BoxGenerator<'_, u64> = generator(async |mut co| {
//!     let (mut this, mut next) = (1, 1);
//!     loop {
//!         co.yield_(this).await;
//!         (this, next) = (next, this + next);
//!     }
//! })
//! .boxed();
//! assert_eq!(fibonacci.take(6).collect::<Vec<_>>(), [1, 1, 2, 3, 5, 8]);
//!
//! // A coroutine is sent values and thrown errors, and returns.
//! let mut tally: BoxCoroutine<'_, u32, u32, String, &str> = coroutine(async |mut co| {
//!     let mut total = 0;
//!     loop {
//!         match co.yield_(total).await {
//!             Ok(value) => total += value,
//!             Err(boros_coro::Error::Raised("reset")) => total = 0,
//!             Err(boros_coro::Error::Raised("enough")) => return Ok(format!("{total} in all")),
//!             Err(other) => return Err(other),
//!         }
//!     }
//! })
//! .boxed();
//! tally.start()?;
//! tally.send(5)?;
//! tally.throw("reset")?;
//! assert_eq!(tally.send(3)?, Progress::Yielded(3));
//! assert_eq!(tally.throw("enough")?, Progress::Returned("3 in all".to_string()));
//! assert_eq!(tally.state(), State::Closed);
//! # Ok::<(), boros_coro::Error<&'static str>>(())
//! ```
//!
//! | | yields receive | ends with | stepped by |
//! |---|---|---|---|
//! | [`Generator`] | nothing | `R` | iterating, [`resume`](Generator::resume) |
//! | [`Coroutine`] | `Result<S, Error<E>>` | `Result<R, Error<E>>` | [`start`](Coroutine::start), [`next`](Coroutine::next), [`send`](Coroutine::send), [`throw`](Coroutine::throw), [`close`](Coroutine::close) |
//! | [`AsyncGenerator`] | `Result<S, Error<E>>` | `Result<(), Error<E>>` | awaiting [`anext`](AsyncGenerator::anext), `asend`, `athrow`, `aclose` |
//!
//! Each comes pinned on the stack, without allocation, or boxed in one block of the heap, of a [`Pool`] if wished. A body
//! [delegates](Handle::yield_from) to others at the cost of one yield, however long the chain is. Whoever has a generator can
//! [look into it](View). Schedulers drive all of them through [`Step`].
//!
//! # Where it differs from Python
//!
//! - `next` on a coroutine needs a type to send that can say "nothing" ([`Unsent`]); others begin with `start`.
//! - Dropping a coroutine drops its body where it waits, destructors and all, but does not run it: what has to yield or return
//!   while cleaning up needs `close`.
//! - A generator's yields can receive nothing, so that it is closed by dropping its body.
//! - A panic in a body closes the whole chain, and goes on to whoever stepped it.
//!
//! The crate needs `alloc`, not `std`. It does no I/O and reads no clock.
#![no_std]
// The engine's types name what is yielded, sent, returned and raised, and the body.
#![allow(clippy::type_complexity)]

extern crate alloc;

mod async_gen;
mod block;
mod body;
mod coroutine;
mod delegate;
mod driver;
mod error;
mod frame;
mod generator;
mod handle;
mod input;
mod pool;
mod protocol;
mod shared;
mod state;
mod step;
mod view;

pub use async_gen::{
    AsyncGenerator, AsyncGeneratorHooks, BoxAsyncGenerator, Orphan, async_generator,
};
pub use coroutine::{BoxCoroutine, Coroutine, coroutine};
pub use delegate::{Delegate, YieldFrom, YieldFromRef};
pub use error::{Error, Misuse, MisuseKind};
pub use generator::{BoxGenerator, Generator, generator};
pub use handle::{Co, Handle, Yield, YieldAll, Yielder};
pub use input::{Input, Iterated, Outcome};
pub use pool::Pool;
pub use shared::{Shared, WeakShared};
pub use state::State;
pub use step::{Progress, Resume, Step, Stepped, Unsent};
pub use view::View;

/// Says of a boxed generator or coroutine that it stays in its thread.
#[derive(Debug, Clone, Copy)]
pub struct Local(());

/// Says of a boxed generator or coroutine that it may be moved to another thread.
#[derive(Debug, Clone, Copy)]
pub struct Sendable(());
