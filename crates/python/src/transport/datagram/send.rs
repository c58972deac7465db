//! Sending: at once, or when the system has room again.
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, send, sendto as send_to};

use super::super::address;
use super::super::endpoint::Endpoint;
use super::super::write::{check_data, copied, warn_lost};
use super::receive::must_wait;
use super::{Datagram, DatagramTransport, Destination, State};
use crate::asyncio;
use crate::context::run_in;
use crate::errors::os_error;

pub(super) const WRITE_ERROR: &str = "Fatal write error on datagram transport";

/// What a datagram counts for beside its bytes, as of Python 3.13.
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };

/// Seconds until it is tried again to send where the system does not tell when there is room.
const REST: f64 = 0.001;

/// Never blocks, also where the program has made the socket blocking; never raises SIGPIPE.
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// How an attempt to send ended.
enum Sent {
    Done,
    /// There is no room.
    Full,
    /// An error of the network, of which the protocol is told.
    Failed(PyErr),
    /// Another error.
    Broken(PyErr),
}

/// `DatagramTransport.sendto`.
///
/// # Errors
/// A `TypeError` for what is no bytes-like object, a `ValueError` for another address than the transport's
/// only one, and what the protocol raises.
pub(super) fn sendto(
    this: &Bound<'_, DatagramTransport>,
    data: &Bound<'_, PyAny>,
    address: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    if let Ok(piece) = data.cast_exact::<PyBytes>() {
        match send_quickly(this, piece, address) {
            Some(Ok(())) => return Ok(()),
            Some(Err(Errno::AGAIN)) | None => {}
            Some(Err(error)) => {
                return DatagramTransport::tell_error(
                    this,
                    os_error(this.py(), error.raw_os_error()),
                );
            }
        }
    }
    check_data(data)?;
    if cfg!(not(Py_3_13)) && data.is_empty()? {
        return Ok(());
    }
    let py = this.py();
    let transport = this.get();
    let fixed = transport.address.get(py);
    if let (Some(fixed), Some(address)) = (&fixed, address)
        && !address.is(fixed)
        && !address.eq(fixed)?
    {
        return Err(PyValueError::new_err(format!(
            "Invalid address: must be None or {}",
            fixed.str()?
        )));
    }
    let dropped = transport.state.with(py, |state| {
        let dropped = state.lost > 0 && (fixed.is_some() || !state.open);
        state.lost += usize::from(dropped);
        dropped.then(|| state.lost - 1)
    });
    if let Some(count) = dropped {
        return warn_lost(py, count);
    }
    let owned;
    let piece = match data.cast_exact::<PyBytes>() {
        Ok(piece) => piece,
        Err(_) => match copied(data) {
            Ok(piece) => {
                owned = piece;
                &owned
            }
            Err(error) => return DatagramTransport::fatal_error(this, error, WRITE_ERROR),
        },
    };
    let to = transport.destination(py, fixed.as_ref().or(address));
    if transport.state.with(py, |state| state.queue.is_empty()) {
        match attempt(this, piece, &to)? {
            Sent::Done => return Ok(()),
            // A transport that is about to close has no later.
            Sent::Full if transport.state.with(py, |state| state.lost > 0) => return Ok(()),
            Sent::Full => DatagramTransport::watch_writing(this)?,
            Sent::Failed(error) => return DatagramTransport::tell_error(this, error),
            Sent::Broken(error) => {
                return DatagramTransport::fatal_error(this, error, WRITE_ERROR);
            }
        }
    }
    let datagram = Datagram { data: piece.clone().unbind(), to };
    let left_over = transport.state.with(py, |state| {
        if state.lost > 0 {
            return Some(datagram);
        }
        state.size += datagram.counts_for(py);
        state.queue.push_back(datagram);
        None
    });
    drop(left_over);
    pause_protocol(this)
}

/// Sends what takes no thought: to the peer, or back to where the last datagram came from. None for the rest.
fn send_quickly(
    this: &Bound<'_, DatagramTransport>,
    piece: &Bound<'_, PyBytes>,
    address: Option<&Bound<'_, PyAny>>,
) -> Option<Result<(), Errno>> {
    let (py, transport) = (this.py(), this.get());
    let data = piece.as_bytes();
    if data.is_empty() {
        return None;
    }
    // Whether it is the only address that may be sent to takes a comparison.
    if let Some(address) = address
        && transport.address.is_some(py)
        && !transport.address.holds(address)
    {
        return None;
    }
    transport.state.with(py, |state| {
        if state.lost > 0 || !state.queue.is_empty() {
            return None;
        }
        let fd = state.descriptor()?;
        if state.connected {
            return Some(patiently(|| send(fd, data, FLAGS)));
        }
        let sender = state
            .sender
            .as_ref()
            .filter(|_| address.is_some_and(|address| transport.sender.holds(address)))?;
        Some(patiently(|| send_to(fd, data, FLAGS, sender)))
    })
}

/// Repeats a system call that a signal interrupts.
fn patiently(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<(), Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

impl Datagram {
    fn counts_for(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len() + HEADER
    }
}

impl DatagramTransport {
    fn destination(&self, py: Python<'_>, address: Option<&Bound<'_, PyAny>>) -> Destination {
        let (connected, family) = self.state.with(py, |state| (state.connected, state.family));
        if connected {
            return Destination::Peer;
        }
        let Some(address) = address else { return Destination::Other(py.None()) };
        let parsed = match family {
            Some(AddressFamily::INET) => address::parse(address, false),
            Some(AddressFamily::INET6) => address::parse(address, true),
            _ => None,
        };
        match parsed {
            Some(parsed) => Destination::Internet(parsed),
            None => Destination::Other(address.clone().unbind()),
        }
    }
}

/// Tries to send. Raises what must not be kept.
fn attempt(
    this: &Bound<'_, DatagramTransport>,
    data: &Bound<'_, PyBytes>,
    to: &Destination,
) -> PyResult<Sent> {
    let py = this.py();
    let Destination::Other(address) = to else {
        let result = this.get().state.with(py, |state| send_native(state, data.as_bytes(), to));
        return Ok(match result {
            Ok(()) => Sent::Done,
            Err(Errno::AGAIN) => Sent::Full,
            Err(error) => Sent::Failed(os_error(py, error.raw_os_error())),
        });
    };
    let Some(socket) = this.get().socket.get(py) else { return Ok(Sent::Done) };
    match socket.call_method1(intern!(py, "sendto"), (data, address)) {
        Ok(_) => Ok(Sent::Done),
        Err(error) if must_wait(py, &error) => Ok(Sent::Full),
        Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(Sent::Failed(error)),
        Err(error) if asyncio::must_propagate(py, &error) => Err(error),
        Err(error) => Ok(Sent::Broken(error)),
    }
}

fn send_native(state: &State, data: &[u8], to: &Destination) -> Result<(), Errno> {
    let Some(fd) = state.descriptor() else { return Ok(()) };
    patiently(|| match to {
        Destination::Internet(address) => send_to(fd, data, FLAGS, address),
        Destination::Peer | Destination::Other(_) => send(fd, data, FLAGS),
    })
}

/// Sends what waits, since the system has room again.
///
/// # Errors
/// What the protocol raises, and what the exception handler does.
pub(crate) fn write_ready(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = this.py();
    let Some(context) = this.get().context.get(py) else { return Ok(()) };
    run_in(&context, || send_queued(this))
}

fn send_queued(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = this.py();
    let state = &this.get().state;
    // What is queued meanwhile waits for the next time.
    let waiting = state.with(py, |state| state.queue.len());
    let mut progress = false;
    let mut result = Ok(());
    for _ in 0..waiting {
        let first = state.with(py, |state| {
            let first = state.queue.pop_front()?;
            state.size -= first.counts_for(py);
            Some(first)
        });
        let Some(first) = first else { break };
        let sent = match attempt(this, first.data.bind(py), &first.to) {
            Ok(sent) => sent,
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        match sent {
            Sent::Done => progress = true,
            Sent::Full => {
                let left_over = state.with(py, |state| {
                    if state.lost > 0 {
                        return Some(first);
                    }
                    state.size += first.counts_for(py);
                    state.queue.push_front(first);
                    None
                });
                drop(left_over);
                break;
            }
            Sent::Failed(error) => {
                progress = true;
                result = DatagramTransport::tell_error(this, error);
                if result.is_err() {
                    break;
                }
            }
            Sent::Broken(error) => {
                return DatagramTransport::fatal_error(this, error, WRITE_ERROR);
            }
        }
    }
    if state.with(py, |state| state.queue.is_empty()) {
        // Before the protocol resumes: what it sends then starts anew.
        DatagramTransport::unwatch_writing(this);
    } else if progress {
        result = result.and(DatagramTransport::watch_writing(this));
    } else {
        result = result.and(rest(this));
    }
    let result = result.and(resume_protocol(this));
    let ended = state.with(py, |state| {
        let ended = state.closing && state.queue.is_empty() && state.lost == 0;
        state.lost += usize::from(ended);
        ended
    });
    if ended { result.and(DatagramTransport::lose(this, None)) } else { result }
}

/// An unconnected Unix socket is writable whether or not the receiver has room: asked again and again, that
/// would keep the loop busy until the receiver moves.
fn rest(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = this.py();
    let wanted = this.get().state.with(py, |state| {
        let wanted = state.family == Some(AddressFamily::UNIX)
            && !state.connected
            && !std::mem::replace(&mut state.resting, true);
        wanted && state.open
    });
    let Some(event_loop) = this.get().event_loop.get(py).filter(|_| wanted) else {
        return DatagramTransport::watch_writing(this);
    };
    DatagramTransport::unwatch_writing(this);
    let resume = this.getattr(intern!(py, "_stop_resting"))?;
    event_loop.call_method1(intern!(py, "call_later"), (REST, resume)).map(drop)
}

/// Asks the protocol to pause if the queue is above its limit.
pub(super) fn pause_protocol(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let wanted = this.get().state.with(this.py(), |state| state.flow.must_pause(state.size));
    if wanted { DatagramTransport::tell(this, "pause_writing") } else { Ok(()) }
}

/// Lets the protocol go on if the queue is below its limit.
fn resume_protocol(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let wanted = this.get().state.with(this.py(), |state| state.flow.may_resume(state.size));
    if wanted { DatagramTransport::tell(this, "resume_writing") } else { Ok(()) }
}
