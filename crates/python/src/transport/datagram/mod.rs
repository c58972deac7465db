//! `DatagramTransport`: a socket that sends and receives datagrams, its state and its life.
//!
//! Semantics: `_SelectorDatagramTransport` of CPython's `Lib/asyncio/selector_events.py`. The descriptor belongs
//! to a `socket.socket`, whose closing is held off while the transport uses it.

mod face;
mod receive;
mod send;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::OnceLock;

use boros::reactor::Direction;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{ffi, intern};
use rustix::net::{AddressFamily, SocketAddrAny, getpeername, getsockname};

pub(crate) use receive::read_ready;
pub(crate) use send::write_ready;

use self::receive::Burst;
use super::endpoint::Endpoint;
use super::flow::Flow;
use super::info;
use super::stream::forget_earlier_use;
use crate::cell::{GilCell, Slot};
use crate::context::copy_current;
use crate::event_loop::Loop;
use crate::finalizer::{Finalize, FinalizeOnDealloc};
use crate::job::Target;

/// A datagram socket that calls a protocol.
///
/// While it waits for readiness the loop holds it. A transport that is dropped while it is open closes its
/// descriptor and warns.
#[pyclass(frozen, weakref, dict, module = "boros._boros", name = "DatagramTransport")]
pub(crate) struct DatagramTransport {
    /// Empty once the transport is closed, as `protocol`, `context` and `socket`.
    event_loop: Slot<Loop>,
    protocol: Slot,
    /// What the protocol's callbacks run in.
    context: Slot,
    /// The owner of the descriptor.
    socket: Slot,
    /// The only address that may be sent to, if the creator named one.
    address: Slot,
    /// The Python value of `State::sender`.
    sender: Slot,
    extra: Slot<PyDict>,
    state: GilCell<State>,
}

/// The part of a transport that is no Python object.
struct State {
    /// The number, also when it is closed: only [`State::descriptor`] says that it may be used.
    fd: RawFd,
    open: bool,
    family: Option<AddressFamily>,
    /// The system knows a peer, which gets all that is sent.
    connected: bool,
    queue: VecDeque<Datagram>,
    /// What `queue` counts for.
    size: usize,
    flow: Flow,
    /// Where the last datagram came from: answers go there.
    sender: Option<SocketAddrAny>,
    burst: Burst,
    /// 0 while the transport stands; then the sends since that were dropped, plus one.
    lost: usize,
    closing: bool,
    /// `pause_reading` was called.
    paused: bool,
    /// `connection_made` was called.
    made: bool,
    /// The loop watches for readability.
    reading: bool,
    /// The loop watches for writability: there was no room.
    writing: bool,
    /// A timer will try again: the system does not tell when there is room.
    resting: bool,
}

/// What waits to be sent.
struct Datagram {
    data: Py<PyBytes>,
    to: Destination,
}

/// Where a datagram goes.
enum Destination {
    /// To whom the socket is connected.
    Peer,
    Internet(SocketAddr),
    /// Any other address, or something that is none: for the `socket` module to judge.
    Other(Py<PyAny>),
}

impl State {
    /// The descriptor, while it is open.
    #[inline]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: `open` says that the socket object, whose closing is held off by its count of users, has not
        // closed it; that is only let go of after `open` was cleared.
        self.open.then(|| unsafe { BorrowedFd::borrow_raw(self.fd) })
    }

    fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }

    /// Whether addresses are of a family that [`super::address`] knows.
    fn is_native(&self) -> bool {
        matches!(
            self.family,
            Some(AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX)
        )
    }
}

impl DatagramTransport {
    /// A transport that will call `connection_made`, then read, then set `waiter`.
    fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        event_loop.get().check_open()?;
        let made = protocol.getattr(intern!(py, "connection_made"))?;
        let extra = extra.unwrap_or_else(|| PyDict::new(py));
        info::fill(&extra, socket)?;
        let address = match address {
            Some(address) if address.is_truthy()? => Some(address.unbind()),
            _ => None,
        };
        let fd = crate::watch::fileno(socket)?;
        info::hold(socket, 1)?;
        // SAFETY: `fileno` answers no negative number, and it is open as long as `socket` is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let transport = DatagramTransport {
            event_loop: Slot::new(event_loop.clone().unbind()),
            protocol: Slot::new(protocol.clone().unbind()),
            context: Slot::new(copy_current(py)?),
            socket: Slot::new(socket.clone().unbind()),
            address: Slot::from_option(address),
            sender: Slot::empty(),
            extra: Slot::new(extra.unbind()),
            state: GilCell::new(State {
                fd,
                open: true,
                family: getsockname(borrowed).ok().map(|name| name.address_family()),
                connected: getpeername(borrowed).is_ok(),
                queue: VecDeque::new(),
                size: 0,
                flow: Flow::default(),
                sender: None,
                burst: Burst::default(),
                lost: 0,
                closing: false,
                paused: false,
                made: false,
                reading: false,
                writing: false,
                resting: false,
            }),
        };
        let this = Bound::new(py, transport)?;
        forget_earlier_use(event_loop, fd)?;
        event_loop.get().streams().claim(py, fd);
        let call_soon = event_loop.getattr(intern!(py, "call_soon"))?;
        call_soon.call1((made, &this))?;
        call_soon.call1((this.getattr(intern!(py, "_start"))?, waiter))?;
        Ok(this)
    }

    /// Has the loop tell of readability, if the transport reads.
    fn watch_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let fd = this.get().state.with(this.py(), |state| {
            let wanted = state.open && state.made && state.is_reading() && !state.reading;
            state.reading |= wanted;
            wanted.then_some(state.fd)
        });
        let Some(fd) = fd else { return Ok(()) };
        let target = Target::Datagram(this.clone().unbind());
        let result = DatagramTransport::watch(this, fd, Direction::Read, target);
        let Err(error) = result else { return Ok(()) };
        this.get().state.with(this.py(), |state| state.reading = false);
        DatagramTransport::fatal_error(this, error, receive::READ_ERROR)
    }

    fn unwatch_reading(this: &Bound<'_, Self>) {
        let fd = this
            .get()
            .state
            .with(this.py(), |state| std::mem::take(&mut state.reading).then_some(state.fd));
        if let Some(fd) = fd {
            DatagramTransport::unwatch(this, fd, Direction::Read);
        }
    }

    /// Has the loop tell of writability.
    fn watch_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        let fd = this.get().state.with(this.py(), |state| {
            let wanted = state.open && !state.writing && !state.resting;
            state.writing |= wanted;
            wanted.then_some(state.fd)
        });
        let Some(fd) = fd else { return Ok(()) };
        let target = Target::Datagram(this.clone().unbind());
        let result = DatagramTransport::watch(this, fd, Direction::Write, target);
        let Err(error) = result else { return Ok(()) };
        this.get().state.with(this.py(), |state| state.writing = false);
        DatagramTransport::fatal_error(this, error, send::WRITE_ERROR)
    }

    fn unwatch_writing(this: &Bound<'_, Self>) {
        let fd = this
            .get()
            .state
            .with(this.py(), |state| std::mem::take(&mut state.writing).then_some(state.fd));
        if let Some(fd) = fd {
            DatagramTransport::unwatch(this, fd, Direction::Write);
        }
    }

    /// Calls the protocol's `error_received`: the transport goes on.
    ///
    /// # Errors
    /// What the protocol raises.
    fn tell_error(this: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = this.py();
        let Some(protocol) = this.get().protocol.get(py) else { return Ok(()) };
        protocol.call_method1(intern!(py, "error_received"), (error.into_value(py),)).map(drop)
    }

    /// Closes once what is queued was sent; `connection_lost(None)` follows.
    ///
    /// # Errors
    /// A `RuntimeError` when the loop is closed.
    fn close_gracefully(this: &Bound<'_, Self>) -> PyResult<()> {
        let Some(drained) = this.get().state.with(this.py(), |state| {
            let was = std::mem::replace(&mut state.closing, true);
            (!was).then_some(state.open && state.lost == 0 && state.queue.is_empty())
        }) else {
            return Ok(());
        };
        DatagramTransport::unclaim(this);
        DatagramTransport::unwatch_reading(this);
        if drained { DatagramTransport::schedule_loss(this, None) } else { Ok(()) }
    }

    /// The program may wait for the descriptor by itself from now on.
    fn unclaim(this: &Bound<'_, Self>) {
        let py = this.py();
        if let Some(event_loop) = this.get().event_loop.get(py) {
            let fd = this.get().state.with(py, |state| state.fd);
            event_loop.get().streams().unclaim(py, fd);
        }
    }

    /// Has `connection_lost` called in the next turn, in the current context. Nothing is received any more.
    fn schedule_loss(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = this.py();
        this.get().state.with(py, |state| state.lost += 1);
        DatagramTransport::unwatch_reading(this);
        DatagramTransport::unwatch_writing(this);
        let Some(event_loop) = this.get().event_loop.get(py) else { return Ok(()) };
        let lose = this.getattr(intern!(py, "_call_connection_lost"))?;
        event_loop.call_method1(intern!(py, "call_soon"), (lose, error)).map(drop)
    }

    /// The end: tells the protocol and lets go of everything.
    ///
    /// # Errors
    /// What `connection_lost` raises.
    fn lose(this: &Bound<'_, Self>, error: Option<&Py<PyAny>>) -> PyResult<()> {
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
        result.and(DatagramTransport::release(this))
    }

    /// Closes the descriptor and lets go of everything.
    fn release(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let transport = this.get();
        DatagramTransport::unwatch_reading(this);
        DatagramTransport::unwatch_writing(this);
        let Some(queue) = transport.state.with(py, |state| {
            if !std::mem::replace(&mut state.open, false) {
                return None;
            }
            state.closing = true;
            state.lost = state.lost.max(1);
            state.size = 0;
            Some(std::mem::take(&mut state.queue))
        }) else {
            return Ok(());
        };
        drop(queue);
        DatagramTransport::unclaim(this);
        transport.event_loop.set(py, None);
        let closed = match transport.socket.take(py) {
            Some(socket) => info::close(socket.bind(py)),
            None => Ok(()),
        };
        transport.protocol.set(py, None);
        transport.context.set(py, None);
        closed
    }
}

impl Endpoint for DatagramTransport {
    fn event_loop(&self) -> &Slot<Loop> {
        &self.event_loop
    }

    fn protocol(&self) -> &Slot {
        &self.protocol
    }

    fn force_close(this: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let Some(queue) = this.get().state.with(this.py(), |state| {
            (state.open && state.lost == 0).then(|| {
                state.closing = true;
                state.size = 0;
                std::mem::take(&mut state.queue)
            })
        }) else {
            return Ok(());
        };
        drop(queue);
        DatagramTransport::unclaim(this);
        DatagramTransport::schedule_loss(this, error)
    }
}

impl Finalize for DatagramTransport {
    fn finalize(this: &Bound<'_, Self>) {
        let py = this.py();
        if !this.get().state.with(py, |state| state.open) {
            return;
        }
        DatagramTransport::warn_unclosed(this);
        if let Err(error) = DatagramTransport::release(this) {
            error.write_unraisable(py, Some(this.as_any()));
        }
    }
}

impl FinalizeOnDealloc for DatagramTransport {
    fn dealloc_slot() -> &'static OnceLock<ffi::destructor> {
        static SLOT: OnceLock<ffi::destructor> = OnceLock::new();
        &SLOT
    }
}
