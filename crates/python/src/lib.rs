//! The extension module `boros._boros`: registration only.
mod asyncio;
mod callbacks;
mod cell;
mod context;
mod errors;
mod event_loop;
mod face;
mod fastcall;
mod finalizer;
mod future;
mod future_iter;
mod handle;
mod job;
mod loop_ref;
mod overrides;
mod parking;
mod pool;
mod scheduler;
mod scheduling;
mod sharing;
mod step;
mod task;
mod task_list;
mod transport;
mod watch;

use pyo3::prelude::*;

#[pymodule]
#[pyo3(gil_used = true)]
fn _boros(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<event_loop::Loop>()?;
    m.add_class::<future::Future>()?;
    m.add_class::<future_iter::FutureIter>()?;
    m.add_class::<task::Task>()?;
    m.add_class::<handle::Handle>()?;
    m.add_class::<handle::TimerHandle>()?;
    m.add_class::<transport::StreamTransport>()?;
    m.add_class::<transport::Listener>()?;
    m.add_class::<transport::ReadPipeTransport>()?;
    m.add_class::<transport::WritePipeTransport>()?;
    m.add_function(wrap_pyfunction!(task::pending_tasks, m)?)?;
    m.add_function(wrap_pyfunction!(parking::park_other_threads, m)?)?;
    scheduler::register(m)?;
    finalizer::install::<future::Future>(m.py())?;
    finalizer::install::<task::Task>(m.py())?;
    pool::install::<future::Future>(m.py());
    pool::install::<future_iter::FutureIter>(m.py());
    pool::install::<task::Task>(m.py());
    pool::install::<handle::Handle>(m.py());
    pool::install::<handle::TimerHandle>(m.py());
    finalizer::install_with_dealloc::<transport::StreamTransport>(m.py())?;
    finalizer::install_with_dealloc::<transport::ReadPipeTransport>(m.py())?;
    finalizer::install_with_dealloc::<transport::WritePipeTransport>(m.py())?;
    future_iter::install_slots(m.py());
    scheduling::register(m)
}
