//! The engine of an asyncio-like event loop, generic over the face (Rust or Python) that it is used through.
//!
//! - [`Engine`]: what one loop owns — ready queue, timers, waiting descriptors, inbox.
//! - [`turn`]: one pass of the loop over an engine.
//! - [`Kinds`] and [`Face`]: what a face supplies: its jobs, and how to run one.
//! - [`Inbox`]: the only way in from other threads.
//! - [`RoundRobin`]: the order of turns of a scheduler without readiness.

mod engine;
mod face;
mod inbox;
mod round_robin;
mod turn;

pub use engine::{Contents, Engine};
pub use face::{Face, Kinds};
pub use inbox::Inbox;
pub use round_robin::RoundRobin;
pub use turn::turn;

pub use boros_reactor as reactor;
