//! Receiving: as many datagrams per readiness as are likely to be there.
use std::net::SocketAddr;

use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{ffi, intern};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketAddrAny, recvfrom};

use super::super::address;
use super::super::endpoint::Endpoint;
use super::super::streams::{MAX_READ, Streams};
use super::{DatagramTransport, State};
use crate::asyncio;
use crate::context::run_in;
use crate::errors::os_error;

pub(super) const READ_ERROR: &str = "Fatal read error on datagram transport";

/// As many datagrams are received for one readiness, so that a flood at one socket leaves time for others.
const MOST: u32 = 16;

/// As many readinesses at most go by before it is tried again whether two datagrams wait.
const LONGEST_PATIENCE: u32 = 63;

/// How many datagrams are asked for: where they come one by one, asking for a second is a system call for
/// nothing, and where they come in floods, waiting after each is.
#[derive(Default)]
pub(super) struct Burst {
    /// 0 stands for 1.
    size: u32,
    /// How many readinesses to ask once before the next attempt to ask twice, and how many are left of them.
    patience: u32,
    left: u32,
}

impl Burst {
    /// How many datagrams to ask for.
    fn begin(&mut self) -> u32 {
        if self.size > 1 {
            return self.size;
        }
        if self.left == 0 {
            return 2;
        }
        self.left -= 1;
        1
    }

    /// All `asked` were there, more than one.
    fn filled(&mut self, asked: u32) {
        self.size = (asked * 2).min(MOST);
        self.patience = 0;
    }

    /// No more than `count` were there.
    fn ran_dry(&mut self, count: u32) {
        if count < 2 {
            self.size = 1;
            self.patience = (self.patience * 2 + 1).min(LONGEST_PATIENCE);
            self.left = self.patience;
        }
    }
}

/// Receives and tells the protocol, in the transport's context.
///
/// # Errors
/// What the protocol raises, and what the exception handler does.
pub(crate) fn read_ready(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = this.py();
    let Some(context) = this.get().context.get(py) else { return Ok(()) };
    run_in(&context, || receive_all(this))
}

fn receive_all(this: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = this.py();
    let state = &this.get().state;
    let asked = state.with(py, |state| state.burst.begin());
    for count in 0..asked {
        match receive(this)? {
            Received::Datagram(data, from) => {
                // It may be another one than before.
                let Some(protocol) = this.get().protocol.get(py) else { return Ok(()) };
                protocol.call_method1(intern!(py, "datagram_received"), (data, from))?;
            }
            Received::Nothing => {
                state.with(py, |state| state.burst.ran_dry(count));
                return Ok(());
            }
            Received::Unwanted => return Ok(()),
            Received::Failed(error) => return DatagramTransport::tell_error(this, error),
            Received::Broken(error) => {
                return DatagramTransport::fatal_error(this, error, READ_ERROR);
            }
        }
    }
    if asked > 1 {
        state.with(py, |state| state.burst.filled(asked));
    }
    Ok(())
}

enum Received<'py> {
    Datagram(Bound<'py, PyAny>, Bound<'py, PyAny>),
    Nothing,
    /// The transport was closed or paused, perhaps by the callback before.
    Unwanted,
    /// An error of the network, of which the protocol is told.
    Failed(PyErr),
    /// Another error.
    Broken(PyErr),
}

/// What the system has for us.
enum Raw<'py> {
    Datagram(Bound<'py, PyBytes>, Origin),
    Failed(Errno),
    Unwanted,
    /// The `socket` module has to be asked.
    Foreign,
}

/// Where a datagram came from.
enum Origin {
    /// From where the last one did.
    Same,
    Other(Option<SocketAddrAny>),
}

fn receive<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Received<'py>> {
    let py = this.py();
    let transport = this.get();
    let Some(event_loop) = transport.event_loop.get(py) else { return Ok(Received::Unwanted) };
    let streams = event_loop.get().streams();
    match transport.state.with(py, |state| receive_native(py, state, streams)) {
        Raw::Datagram(data, origin) => {
            Ok(Received::Datagram(data.into_any(), transport.sender(py, origin)?))
        }
        Raw::Failed(Errno::AGAIN) => Ok(Received::Nothing),
        // No memory for the datagram, which is gone.
        Raw::Failed(Errno::NOMEM) if PyErr::occurred(py) => Ok(Received::Broken(PyErr::fetch(py))),
        Raw::Failed(error) => Ok(Received::Failed(os_error(py, error.raw_os_error()))),
        Raw::Unwanted => Ok(Received::Unwanted),
        Raw::Foreign => receive_by_socket(this),
    }
}

fn receive_native<'py>(py: Python<'py>, state: &State, streams: &Streams) -> Raw<'py> {
    let Some(fd) = state.descriptor().filter(|_| state.reading && state.lost == 0) else {
        return Raw::Unwanted;
    };
    if !state.is_native() {
        return Raw::Foreign;
    }
    streams.scratch(py, |scratch| {
        let (count, from) = loop {
            // Never blocks, also where the program has made the socket blocking.
            match recvfrom(fd, &mut *scratch, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                Ok((_, count, from)) => break (count, from),
                Err(error) => return Raw::Failed(error),
            }
        };
        // SAFETY: the GIL is held, and the first `count` bytes are initialised. Making a `bytes` object runs no
        // Python code; it is a new reference, or NULL with an exception set.
        let data = unsafe {
            let data =
                ffi::PyBytes_FromStringAndSize(scratch.as_ptr().cast(), count as ffi::Py_ssize_t);
            Bound::from_owned_ptr_or_opt(py, data).map(|data| data.cast_into_unchecked())
        };
        let Some(data) = data else { return Raw::Failed(Errno::NOMEM) };
        let is_same = from.is_some() && from == state.sender;
        Raw::Datagram(data, if is_same { Origin::Same } else { Origin::Other(from) })
    })
}

/// For families whose addresses only the `socket` module knows.
#[cold]
fn receive_by_socket<'py>(this: &Bound<'py, DatagramTransport>) -> PyResult<Received<'py>> {
    let py = this.py();
    let Some(socket) = this.get().socket.get(py) else { return Ok(Received::Unwanted) };
    let received = socket
        .call_method1(intern!(py, "recvfrom"), (MAX_READ,))
        .and_then(|pair| pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>());
    match received {
        Ok((data, from)) => Ok(Received::Datagram(data, from)),
        Err(error) if must_wait(py, &error) => Ok(Received::Nothing),
        Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(Received::Failed(error)),
        Err(error) if asyncio::must_propagate(py, &error) => Err(error),
        Err(error) => Ok(Received::Broken(error)),
    }
}

/// Whether the `socket` module says that the call would have waited.
pub(super) fn must_wait(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}

impl DatagramTransport {
    /// The Python value of a datagram's origin: the same object for the next one from there.
    fn sender<'py>(&self, py: Python<'py>, origin: Origin) -> PyResult<Bound<'py, PyAny>> {
        let from = match origin {
            Origin::Same => {
                // Empty only if the collector has been here.
                return Ok(self.sender.get(py).unwrap_or_else(|| py.None().into_bound(py)));
            }
            Origin::Other(None) => return Ok(py.None().into_bound(py)),
            Origin::Other(Some(from)) => from,
        };
        let Ok(parsed) = SocketAddr::try_from(from.clone()) else {
            return address::any(py, from);
        };
        let sender = address::inet(py, parsed)?;
        // In this order: what goes with the old value may run code that sends or receives.
        let old = self.sender.replace(py, Some(sender.clone().unbind()));
        self.state.with(py, |state| state.sender = Some(from));
        drop(old);
        Ok(sender)
    }
}
