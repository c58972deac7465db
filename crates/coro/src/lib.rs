//! Generators and coroutines with Python's protocol, on stable Rust.
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
