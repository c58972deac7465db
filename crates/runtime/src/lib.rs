//! asyncio for Rust programs: a single-threaded, cancellable, observable event loop.
//!
//! ```
//! use boros::{Result, create_task, gather, sleep, timeout};
//! use std::time::Duration;
//!
//! async fn cook(dish: &'static str, seconds: u64) -> Result<&'static str> {
//!     sleep(Duration::from_secs(seconds)).await?;
//!     Ok(dish)
//! }
//!
//! // On a virtual clock, which takes no time; `boros::run` is the one that does.
//! boros::run_virtual(async {
//!     let soup = create_task(cook("soup", 20))?;
//!     assert_eq!(gather([cook("rice", 15), cook("fish", 10)]).await?, ["rice", "fish"]);
//!     let error = timeout(Duration::from_secs(1), soup).await.unwrap_err();
//!     assert!(error.is::<boros::TimedOut>());
//!     Ok(())
//! })?;
//! # Result::<()>::Ok(())
//! ```
//!
//! - [`run`], [`EventLoop`], [`LoopHandle`], [`RemoteHandle`]: the loop, from outside, from inside, from other threads.
//! - [`create_task`], [`Task`], [`Future`]: what runs, and results that somebody will set. Tasks end with a [`Result`], whose
//!   [`Error`] is any error.
//! - [`sleep`], [`timeout`], [`gather`], [`wait()`], [`as_completed`], [`shield`], [`task_group`]: asyncio's ways to combine.
//! - [`sync`], [`net`], [`streams`]: locks and queues, sockets, buffered reading and writing.
//! - [`drive`], [`drive_turns`]: the coroutines and generators of [`coro`] as tasks; [`Scheduler`]: generators without a loop.
//! - [`LoopHandle::all_tasks`]: each task's state, age, and where in the program it waits for what.
//! - [`run_virtual`], [`EventLoop::virtual_time`]: time that passes only in the program, for tests.
//!
//! Features: `futures-io` (the reading and writing traits of `futures`), `hyper` (hyper's traits), `tls` (rustls).
//!
//! # Cancellation
//!
//! asyncio raises `CancelledError` at the `await` where a task waits. A Rust future can only be polled or dropped, and what is
//! dropped cannot await any more. So here the waits themselves answer: every future of this crate that can suspend has a
//! `Result`, and when its task is cancelled, it ends with [`Cancelled`]. The task goes on at that very line: `?` passes it on;
//! a `match` may clean up first, awaiting what it needs; not passing it on is to refuse.
//!
//! How a request finds the wait: while a future of this crate is suspended, it is listed in its task, with its line and what it
//! waits for (which is also what [`TaskInfo`] shows). [`Task::cancel`] goes through that list:
//!
//! 1. If the task awaits another task or a [`Future`], that one is asked first, and so on down to the innermost. Its end comes
//!    back up as that await's result. [`shield`] stops the request on its way down.
//! 2. Otherwise the request is noted in the task, and the task is stepped. The first wait that is polled takes the request and
//!    ends with [`Cancelled`], even if what it waited for has come in the same moment: that is then for somebody else, nothing
//!    of it is lost. A wait that begins while a request is noted ends at once.
//! 3. If no wait took it in that step, the task waits for futures of other crates only. These know no cancellation, so the
//!    whole body is dropped where it stands, as other executors do. [`cancellable`] around such a future, or around any
//!    combinator of another crate, drops only that one, and the task goes on after it.
//!
//! One request is taken once: of several waits at the same time, as in `join!`, one ends. [`gather`] and [`task_group`] make
//! tasks, and cancel each. [`timeout`] is a request with a time, which it takes back when it has become [`TimedOut`].
//!
//! # Wakers
//!
//! A future of this crate wakes its task by putting it into the ready queue: no allocation, no lock. So does the
//! [`Waker`](std::task::Waker) of a task in the loop's thread. In other threads it hands a note in at the loop's inbox, once
//! until the loop has read it.
//!
//! # The engine
//!
//! Underneath is the engine that boros's Python face uses as well: [`Engine`], [`turn()`], [`Kinds`], [`Face`], [`Inbox`],
//! [`RoundRobin`].

mod alarm;
mod as_completed;
mod call;
mod cancellable;
mod cancelled;
mod completion;
mod core;
mod drive;
mod engine;
mod error;
mod event_loop;
mod executor;
mod face;
mod future;
#[cfg(feature = "futures-io")]
mod futures_io;
mod gather;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper")]
mod hyper_timer;
mod inbox;
mod into_task;
mod job;
mod join;
mod loop_handle;
pub mod net;
mod remote_handle;
mod report;
mod round_robin;
mod running;
mod scheduler;
mod shield;
mod signals;
mod sleep;
mod source;
pub mod streams;
pub mod sync;
mod task;
mod task_group;
mod task_info;
mod task_object;
mod task_table;
mod timeout;
#[cfg(feature = "tls")]
pub mod tls;
mod turn;
mod wait;
mod wait_tasks;
mod waiters;
mod waker;
mod watch;

pub use as_completed::{AsCompleted, as_completed};
pub use call::{Handle, TimerHandle};
pub use cancellable::cancellable;
pub use cancelled::Cancelled;
pub use drive::{drive, drive_turns};
pub use engine::{Contents, Engine};
pub use error::{Error, IntoError, InvalidState, Panicked, Result, TimedOut};
pub use event_loop::{EventLoop, run, run_virtual};
pub use executor::InExecutor;
pub use face::{Face, Kinds};
pub use future::Future;
pub use gather::{gather, gather_settled};
#[cfg(feature = "hyper")]
pub use hyper::{HyperExecutor, HyperIo};
#[cfg(feature = "hyper")]
pub use hyper_timer::HyperTimer;
pub use inbox::Inbox;
pub use into_task::IntoTask;
pub use join::Join;
pub use loop_handle::{
    LoopHandle, cancel_current, create_task, current_task, running_loop, uncancel_current,
};
pub use remote_handle::RemoteHandle;
pub use report::ErrorReport;
pub use round_robin::RoundRobin;
pub use scheduler::{Pause, RoutineId, Scheduler, StepEnd, StepReport};
pub use shield::shield;
pub use sleep::{Sleep, sleep, sleep_until, yield_now};
pub use task::{CallbackId, Task};
pub use task_group::{GroupError, TaskGroup, task_group};
pub use task_info::{TaskInfo, TaskState, WaitingAt};
pub use timeout::{timeout, timeout_at};
pub use turn::turn;
pub use wait::WaitsFor;
pub use wait_tasks::{ReturnWhen, Waited, wait};

pub use boros_coro as coro;
pub use boros_reactor as reactor;
