//! asyncio for Rust programs: a single-threaded, cancellable, observable event loop.
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
