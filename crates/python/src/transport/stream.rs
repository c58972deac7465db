//! `StreamTransport`: a connected TCP or Unix socket, its state and its life.
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use boros::reactor::Direction;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};
use rustix::net::{getpeername, sockopt};

use super::endpoint::Endpoint;
use super::flow::Flow;
use super::info;
use super::write;
use super::write_buffer::{Sent, WriteBuffer};
use crate::asyncio::Asyncio;
use crate::cell::{GilCell, Slot};
use crate::context::{copy, copy_current, run_in};
use crate::event_loop::Loop;
use crate::finalizer::{Finalize, FinalizeOnDealloc};
use crate::future::Future;
use crate::handle::Handle;
use crate::job::{Job, Target};

/// A connected stream socket that calls a protocol.
///
/// While it waits for readiness the loop holds it. A transport that is dropped while it is open closes its
/// descriptor and warns.
#[pyclass(frozen, weakref, dict, module = "boros._boros", name = "StreamTransport")]
pub(crate) struct StreamTransport {
    /// Empty once the connection is lost, as `protocol` and `context`.
    pub(super) event_loop: Slot<Loop>,
    pub(super) protocol: Slot,
    /// What the protocol's callbacks run in.
    pub(super) context: Slot,
    pub(super) server: Slot,
    /// The `socket.socket`, if there is one: then it owns the descriptor.
    pub(super) socket: Slot,
    /// What was asked for by `get_extra_info`, and what the creator added.
    pub(super) extra: Slot<PyDict>,
    /// What somebody who sends a file waits for.
    pub(super) sender: Slot,
    pub(super) state: GilCell<State>,
}

/// The part of a transport that is no Python object.
pub(super) struct State {
    /// The number, also when it is closed: only [`State::descriptor`] says that it may be used.
    pub(super) fd: RawFd,
    open: bool,
    /// The owner, unless a `socket.socket` is.
    pub(super) owned: Option<OwnedFd>,
    /// The own address, kept when the descriptor is closed.
    pub(super) local: Option<SocketAddr>,
    /// Known from `accept`, or asked at creation: a peer that has left has no name.
    pub(super) peer: Option<SocketAddr>,
    /// How many bytes the next read is likely to bring.
    pub(super) expected: usize,
    pub(super) buffer: WriteBuffer,
    pub(super) flow: Flow,
    /// 0 while the connection stands; then the writes since that were dropped, plus one.
    pub(super) lost: usize,
    pub(super) closing: bool,
    /// `pause_reading` was called.
    pub(super) paused: bool,
    /// `write_eof` was called.
    pub(super) eof: bool,
    /// Somebody sends a file: nobody else may write.
    pub(super) sends_file: bool,
    /// The protocol lends its own buffer.
    pub(super) lends_buffer: bool,
    /// The loop watches for readability.
    pub(super) reading: bool,
    /// The loop watches for writability: the kernel's buffer is full.
    pub(super) writing: bool,
    /// In the list of transports to flush at the end of the job.
    pub(super) dirty: bool,
}

impl State {
    /// The descriptor, while it is open.
    #[inline]
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: `open` says that the owner (`owned`, or the socket object, whose closing is held off by its
        // count of users) has not closed it, and both are only let go of after `open` was cleared.
        self.open.then(|| unsafe { BorrowedFd::borrow_raw(self.fd) })
    }

    /// Sends what the kernel takes of the buffer.
    pub(super) fn send(&mut self, py: Python<'_>) -> Sent {
        if !self.open {
            return Sent::All;
        }
        // SAFETY: as for `descriptor`; a copy, for the buffer is changed meanwhile.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        self.buffer.send(py, fd)
    }

    pub(super) fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }
}

/// Where a transport's descriptor comes from.
pub(super) enum Source<'py> {
    /// From `accept`.
    Accepted { fd: OwnedFd, peer: Option<SocketAddr> },
    /// A `socket.socket`, or what behaves like one.
    Socket(Bound<'py, PyAny>),
}

impl StreamTransport {
    /// A transport that will call `connection_made`, then read, then set `waiter`.
    pub(super) fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        source: Source<'py>,
        protocol: &Bound<'py, PyAny>,
        server: Option<Py<PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        context: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        event_loop.get().check_open()?;
        let lends_buffer = lends_buffer(protocol)?;
        let made = protocol.getattr(intern!(py, "connection_made"))?.unbind();
        let (fd, owned, peer, socket) = match source {
            Source::Accepted { fd, peer } => (fd.as_raw_fd(), Some(fd), peer, None),
            Source::Socket(socket) => {
                let fd = crate::watch::fileno(&socket)?;
                info::hold(&socket, 1)?;
                let known = match &extra {
                    Some(extra) => extra.contains(intern!(py, "peername"))?,
                    None => false,
                };
                // SAFETY: `fileno` answers no negative number, and it is open as long as `socket` is.
                let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
                let peer = if known { None } else { getpeername(borrowed).ok().flatten() };
                (fd, None, peer.and_then(|peer| peer.try_into().ok()), Some(socket.unbind()))
            }
        };
        let transport = StreamTransport {
            event_loop: Slot::new(event_loop.clone().unbind()),
            protocol: Slot::new(protocol.clone().unbind()),
            context: Slot::new(context),
            server: Slot::from_option(server),
            socket: Slot::from_option(socket),
            extra: Slot::from_option(extra.map(Bound::unbind)),
            sender: Slot::empty(),
            state: GilCell::new(State {
                fd,
                open: true,
                owned,
                local: None,
                peer,
                expected: 0,
                buffer: WriteBuffer::default(),
                flow: Flow::default(),
                lost: 0,
                closing: false,
                paused: false,
                eof: false,
                sends_file: false,
                lends_buffer,
                reading: false,
                writing: false,
                dirty: false,
            }),
        };
        let this = Bound::new(py, transport)?;
        forget_earlier_use(event_loop, fd)?;
        event_loop.get().streams().claim(py, fd);
        this.get().state.with(py, |state| {
            if let Some(fd) = state.descriptor() {
                // Small writes leave at once. Sockets that are not TCP refuse, and need it not.
                let _ = sockopt::set_tcp_nodelay(fd, true);
            }
        });
        if let Some(server) = this.get().server.get(py)
            && let Err(error) = server.call_method1(intern!(py, "_attach"), (&this,))
        {
            this.get().server.set(py, None);
            StreamTransport::release(&this)?;
            return Err(error);
        }
        let transport = this.clone().unbind();
        event_loop.get().push(py, Job::Connected { transport, made, waiter });
        Ok(this)
    }

    /// The first job of a transport: tell the protocol, then read, then wake whoever waits for that.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    pub(crate) fn start(
        this: &Bound<'_, Self>,
        made: Py<PyAny>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let mut result = Ok(());
        if let Some(context) = this.get().context.get(py) {
            // A copy, so that what it sets is not seen by the callbacks after it: asyncio schedules them apart.
            let context = copy(&context)?;
            if let Err(error) = run_in(context.bind(py), || made.bind(py).call1((this,))) {
                let args = PyTuple::new(py, [this])?;
                result = StreamTransport::callback_failed(this, made, args, context, error);
            }
        }
        result = result.and(StreamTransport::watch_reading(this));
        if let Some(waiter) = waiter {
            result = result.and(wake(waiter.bind(py)));
        }
        result
    }

    /// Has the loop tell of readability, if the transport reads.
    pub(super) fn watch_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let wanted = this.get().state.with(py, |state| {
            let wanted = state.open && state.is_reading() && !state.reading;
            state.reading |= wanted;
            wanted
        });
        if !wanted {
            return Ok(());
        }
        let Err(error) = StreamTransport::wait(this, Direction::Read) else { return Ok(()) };
        this.get().state.with(py, |state| state.reading = false);
        StreamTransport::fatal_error(this, error, "Fatal read error on socket transport")
    }

    pub(super) fn unwatch_reading(this: &Bound<'_, Self>) {
        let was = this.get().state.with(this.py(), |state| std::mem::take(&mut state.reading));
        if was {
            StreamTransport::stop_waiting(this, Direction::Read);
        }
    }

    /// Has the loop tell of writability.
    pub(super) fn watch_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let was = this.get().state.with(py, |state| std::mem::replace(&mut state.writing, true));
        if was {
            return Ok(());
        }
        let Err(error) = StreamTransport::wait(this, Direction::Write) else { return Ok(()) };
        this.get().state.with(py, |state| state.writing = false);
        StreamTransport::fatal_error(this, error, "Fatal write error on socket transport")
    }

    pub(super) fn unwatch_writing(this: &Bound<'_, Self>) {
        let was = this.get().state.with(this.py(), |state| std::mem::take(&mut state.writing));
        if was {
            StreamTransport::stop_waiting(this, Direction::Write);
        }
    }

    fn wait(this: &Bound<'_, Self>, direction: Direction) -> PyResult<()> {
        let fd =
            this.get().state.with(this.py(), |state| state.descriptor().map(|fd| fd.as_raw_fd()));
        let Some(fd) = fd else { return Ok(()) };
        StreamTransport::watch(this, fd, direction, Target::Stream(this.clone().unbind()))
    }

    fn stop_waiting(this: &Bound<'_, Self>, direction: Direction) {
        let fd = this.get().state.with(this.py(), |state| state.fd);
        StreamTransport::unwatch(this, fd, direction);
    }

    /// Closes once what is buffered was sent; `connection_lost(None)` follows.
    ///
    /// # Errors
    /// A `RuntimeError` when the loop is closed.
    pub(super) fn close_gracefully(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        if this.get().state.with(py, |state| state.closing) {
            return Ok(());
        }
        let flushed = write::flush(this);
        let drained = this.get().state.with(py, |state| {
            state.closing = true;
            state.open && state.lost == 0 && state.buffer.is_empty()
        });
        StreamTransport::unclaim(this);
        StreamTransport::unwatch_reading(this);
        if drained {
            return flushed.and(StreamTransport::schedule_loss(this, None));
        }
        flushed
    }

    /// Closes without waiting for what is buffered, beyond what the kernel takes now.
    pub(super) fn close_at_once(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        // asyncio would have given it to the kernel when it was written.
        let flushed = write::flush(this);
        flushed.and(StreamTransport::force_close(this, error))
    }

    /// The program may wait for the descriptor by itself from now on.
    fn unclaim(this: &Bound<'_, Self>) {
        let py = this.py();
        if let Some(event_loop) = this.get().event_loop.get(py) {
            let fd = this.get().state.with(py, |state| state.fd);
            event_loop.get().streams().unclaim(py, fd);
        }
    }

    /// Has `connection_lost` called in the next turn, in the current context. Nothing is read or sent any more.
    pub(super) fn schedule_loss(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = this.py();
        this.get().state.with(py, |state| state.lost += 1);
        StreamTransport::unwatch_reading(this);
        StreamTransport::unwatch_writing(this);
        let Some(event_loop) = this.get().event_loop.get(py) else { return Ok(()) };
        event_loop.get().check_open()?;
        StreamTransport::fail_sender(this)?;
        if event_loop.get().is_debug() {
            event_loop.get().check_thread()?;
        }
        let context = copy_current(py)?;
        let transport = this.clone().unbind();
        event_loop.get().push(py, Job::ConnectionLost { transport, error, context });
        Ok(())
    }

    /// The end of a connection: a job, or the last part of one.
    ///
    /// # Errors
    /// What `connection_lost` raises.
    pub(crate) fn lose(this: &Bound<'_, Self>, error: Option<&Py<PyAny>>) -> PyResult<()> {
        let py = this.py();
        if !this.get().state.with(py, |state| state.open) {
            return Ok(());
        }
        let result = match this.get().protocol.get(py) {
            Some(protocol) => {
                protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop)
            }
            None => Ok(()),
        };
        result.and(StreamTransport::release(this))
    }

    /// Closes the descriptor and lets go of everything.
    fn release(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let transport = this.get();
        let names = transport.keep_names(this);
        StreamTransport::unwatch_reading(this);
        StreamTransport::unwatch_writing(this);
        let Some((fd, owned)) = transport.state.with(py, |state| {
            if !std::mem::replace(&mut state.open, false) {
                return None;
            }
            state.closing = true;
            state.lost = state.lost.max(1);
            state.buffer.clear();
            Some((state.fd, state.owned.take()))
        }) else {
            return Ok(());
        };
        let told = StreamTransport::fail_sender(this);
        if let Some(event_loop) = transport.event_loop.take(py) {
            event_loop.bind(py).get().streams().unclaim(py, fd);
        }
        drop(owned);
        let closed = match transport.socket.take(py) {
            Some(socket) => info::close(socket.bind(py)),
            None => Ok(()),
        };
        transport.protocol.set(py, None);
        transport.context.set(py, None);
        let detached = match transport.server.take(py) {
            Some(server) => server.bind(py).call_method1(intern!(py, "_detach"), (this,)).map(drop),
            None => Ok(()),
        };
        names.and(told).and(closed).and(detached)
    }

    /// Reports what a callback raised as the loop does for the callbacks of handles.
    fn callback_failed(
        this: &Bound<'_, Self>,
        callback: Py<PyAny>,
        args: Bound<'_, PyTuple>,
        context: Py<PyAny>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop.get(py) else { return Err(error) };
        let handle = Handle::new(callback, args.unbind(), context, event_loop.unbind(), None);
        Handle::failed(&Bound::new(py, handle)?, error)
    }
}

impl Endpoint for StreamTransport {
    fn event_loop(&self) -> &Slot<Loop> {
        &self.event_loop
    }

    fn protocol(&self) -> &Slot {
        &self.protocol
    }

    fn force_close(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = this.py();
        let was_standing = this.get().state.with(py, |state| {
            let was_standing = state.open && state.lost == 0;
            if was_standing {
                state.buffer.clear();
                state.closing = true;
            }
            was_standing
        });
        if !was_standing {
            return Ok(());
        }
        StreamTransport::unclaim(this);
        StreamTransport::schedule_loss(this, error)
    }
}

/// Whether `protocol` is an `asyncio.BufferedProtocol`.
pub(super) fn lends_buffer(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    protocol.is_instance(Asyncio::get(protocol.py())?.buffered_protocol_class.bind(protocol.py()))
}

/// Lets nobody wait for a number who waited for an earlier file of that number, and did not say when it was
/// closed: the kernel has forgotten that file, and the new one would never be registered in its place.
pub(super) fn forget_earlier_use(event_loop: &Bound<'_, Loop>, fd: RawFd) -> PyResult<()> {
    let py = event_loop.py();
    for direction in [Direction::Read, Direction::Write] {
        let target = event_loop.get().engine(py, |engine| engine.unwatch(fd, direction));
        crate::watch::retire(py, target.flatten())?;
    }
    Ok(())
}

/// Sets the result of a future that waits for the transport, unless it was cancelled.
pub(super) fn wake(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    if let Ok(future) = waiter.cast::<Future>() {
        return if future.get().is_done() { Ok(()) } else { Future::finish(future, py.None()) };
    }
    if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

impl Finalize for StreamTransport {
    fn finalize(this: &Bound<'_, Self>) {
        let py = this.py();
        if !this.get().state.with(py, |state| state.open) {
            return;
        }
        StreamTransport::warn_unclosed(this);
        if let Err(error) = StreamTransport::release(this) {
            error.write_unraisable(py, Some(this.as_any()));
        }
    }
}

impl FinalizeOnDealloc for StreamTransport {
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor> {
        static SLOT: OnceLock<ffi::destructor> = OnceLock::new();
        &SLOT
    }
}
