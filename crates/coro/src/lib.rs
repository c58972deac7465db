//! Generators and coroutines with Python's protocol, on stable Rust.
#![no_std]
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate)]

extern crate alloc;

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
mod state;
mod step;
mod view;

pub use coroutine::{BoxCoroutine, Coroutine, coroutine};
pub use delegate::{Delegate, YieldFrom, YieldFromRef};
pub use error::{Error, Misuse, MisuseKind};
pub use generator::{BoxGenerator, Generator, generator};
pub use handle::{Co, Handle, Yield, YieldAll, Yielder};
pub use input::{Input, Iterated, Outcome};
pub use pool::Pool;
pub use state::State;
pub use step::{Progress, Resume, Step, Stepped, Unsent};
pub use view::View;

/// Says of a boxed generator or coroutine that it stays in its thread.
#[derive(Debug, Clone, Copy)]
pub struct Local(());

/// Says of a boxed generator or coroutine that it may be moved to another thread.
#[derive(Debug, Clone, Copy)]
pub struct Sendable(());
