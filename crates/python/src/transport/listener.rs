//! Accepting connections.
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use boros::reactor::Direction;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

use super::stream::{Source, StreamTransport};
use crate::asyncio;
use crate::cell::Slot;
use crate::context::{copy, copy_current, run_in};
use crate::errors::os_error;
use crate::event_loop::Loop;
use crate::job::Target;

/// A listening socket whose connections become transports.
#[pyclass(frozen, module = "boros._boros", name = "Listener")]
pub(crate) struct Listener {
    event_loop: Slot<Loop>,
    factory: Slot,
    socket: Slot,
    server: Slot,
    /// What the factory runs in a copy of.
    context: Slot,
    fd: RawFd,
    /// As many connections as are taken in one go.
    backlog: usize,
    stopped: AtomicBool,
}

impl Listener {
    /// Takes what connections there are: a job.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, and what the exception handler raises.
    pub(crate) fn accept_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        for _ in 0..this.get().backlog {
            // Asked each time: a factory may have stopped the server and closed the socket.
            if !this.get().is_open(py)? {
                return Ok(());
            }
            // SAFETY: the socket object has just said that it is open under this number.
            let fd = unsafe { BorrowedFd::borrow_raw(this.get().fd) };
            match acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((fd, peer)) => Listener::connected(this, fd, peer)?,
                Err(Errno::AGAIN) => return Ok(()),
                // Gone again before we came, or an error of the network that was waiting on it (see accept(2)).
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NOPROTOOPT
                    | Errno::NONET
                    | Errno::OPNOTSUPP,
                ) => {}
                Err(error) => return Listener::failed(this, error),
            }
        }
        Ok(())
    }

    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(socket) = self.socket.get(py) else { return Ok(false) };
        if self.stopped.load(Relaxed) {
            return Ok(false);
        }
        Ok(socket.call_method0(intern!(py, "fileno"))?.extract::<RawFd>()? == self.fd)
    }

    /// Makes a protocol and a transport for a connection.
    fn connected(this: &Bound<'_, Self>, fd: OwnedFd, peer: Option<SocketAddrAny>) -> PyResult<()> {
        let py = this.py();
        let listener = this.get();
        let (Some(event_loop), Some(factory), Some(context)) =
            (listener.event_loop.get(py), listener.factory.get(py), listener.context.get(py))
        else {
            return Ok(());
        };
        if event_loop.get().is_debug() {
            listener.log_connection(py, peer.as_ref())?;
        }
        let context = copy(&context)?;
        let mut protocol = None;
        let result = run_in(context.bind(py), || {
            let protocol = protocol.insert(factory.call0()?);
            let peer = peer.and_then(|peer| peer.try_into().ok());
            let source = Source::Accepted { fd, peer };
            let server = listener.server.get(py).map(Bound::unbind);
            let context = context.clone_ref(py);
            StreamTransport::create(&event_loop, source, protocol, server, None, context, None)
        });
        let Err(error) = result else { return Ok(()) };
        if asyncio::must_propagate(py, &error) {
            return Err(error);
        }
        let report = PyDict::new(py);
        report.set_item("message", "Error on transport creation for incoming connection")?;
        report.set_item("exception", error.into_value(py))?;
        if let Some(protocol) = protocol {
            report.set_item("protocol", protocol)?;
        }
        asyncio::call_exception_handler(event_loop.as_any(), &report)
    }

    #[cold]
    fn log_connection(&self, py: Python<'_>, peer: Option<&SocketAddrAny>) -> PyResult<()> {
        let peer = match peer {
            Some(peer) => super::address::any(py, peer.clone())?,
            None => py.None().into_bound(py),
        };
        let server = self.server.get(py);
        asyncio::logger(py)?.call_method1(
            intern!(py, "debug"),
            ("%r got a new connection from %r", server, peer),
        )?;
        Ok(())
    }

    /// Reports a failed `accept`. When the system is short of something, accepting rests for a while: the
    /// socket would go on to be reported as readable.
    #[cold]
    fn failed(this: &Bound<'_, Self>, error: Errno) -> PyResult<()> {
        let py = this.py();
        let listener = this.get();
        let (Some(event_loop), Some(socket)) =
            (listener.event_loop.get(py), listener.socket.get(py))
        else {
            return Ok(());
        };
        let short = matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM);
        if short {
            listener.unwatch(&event_loop);
            let delay = py.import("asyncio.constants")?.getattr("ACCEPT_RETRY_DELAY")?;
            event_loop.call_method1(
                intern!(py, "call_later"),
                (delay, this.getattr(intern!(py, "_resume"))?),
            )?;
        }
        let report = PyDict::new(py);
        let message =
            if short { "socket.accept() out of system resource" } else { "socket.accept() failed" };
        report.set_item("message", message)?;
        report.set_item("exception", os_error(py, error.raw_os_error()).into_value(py))?;
        let shown = py.import("asyncio.trsock")?.getattr("TransportSocket")?.call1((socket,))?;
        report.set_item("socket", shown)?;
        asyncio::call_exception_handler(event_loop.as_any(), &report)
    }

    fn watch(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop.get(py) else { return Ok(()) };
        event_loop.get().check_open()?;
        let (fd, target) = (this.get().fd, Target::Listener(this.clone().unbind()));
        match event_loop.get().engine(py, |engine| engine.watch(fd, Direction::Read, target)) {
            None => Ok(()),
            Some(Ok(previous)) => crate::watch::retire(py, previous),
            Some(Err((error, target))) => {
                drop(target);
                Err(os_error(py, error.raw_os_error().unwrap_or_default()))
            }
        }
    }

    fn unwatch(&self, event_loop: &Bound<'_, Loop>) {
        let py = event_loop.py();
        let fd = self.fd;
        let previous = event_loop.get().engine(py, |engine| engine.unwatch(fd, Direction::Read));
        drop(previous);
    }

    /// Takes note that the socket is about to be closed.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }
}

#[pymethods]
impl Listener {
    /// Accepts connections again, after the system was short of something.
    fn _resume(this: &Bound<'_, Self>) -> PyResult<()> {
        if this.get().is_open(this.py())? { Listener::watch(this) } else { Ok(()) }
    }

    /// What the loop does when there are connections to accept.
    fn _accept_ready(this: &Bound<'_, Self>) -> PyResult<()> {
        Listener::accept_ready(this)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(visit)?;
        self.factory.traverse(visit)?;
        self.socket.traverse(visit)?;
        self.server.traverse(visit)?;
        self.context.traverse(visit)
    }

    fn __clear__(&self) {
        self.event_loop.clear();
        self.factory.clear();
        self.socket.clear();
        self.server.clear();
        self.context.clear();
    }
}

#[pymethods]
impl Loop {
    /// Makes transports of the connections that come in at ``sock``, which listens, with protocols
    /// made by ``protocol_factory``; up to ``backlog`` of them in one go.
    #[pyo3(signature = (protocol_factory, sock, server = None, backlog = 100))]
    fn _start_serving(
        this: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        sock: &Bound<'_, PyAny>,
        server: Option<Py<PyAny>>,
        backlog: usize,
    ) -> PyResult<()> {
        let py = this.py();
        let listener = Listener {
            event_loop: Slot::new(this.clone().unbind()),
            factory: Slot::new(protocol_factory),
            socket: Slot::new(sock.clone().unbind()),
            server: Slot::from_option(server),
            context: Slot::new(copy_current(py)?),
            fd: crate::watch::fileno(sock)?,
            // As asyncio, but a backlog of 0 (Linux queues one then) must not mean that none is taken.
            backlog: backlog.max(1),
            stopped: AtomicBool::new(false),
        };
        Listener::watch(&Bound::new(py, listener)?)
    }

    /// Ends what :meth:`_start_serving` began, and closes ``sock``.
    fn _stop_serving(this: &Bound<'_, Self>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        // A socket that is closed already is watched no more.
        if let Ok(fd) = crate::watch::fileno(sock) {
            let target =
                this.get().engine(py, |engine| engine.unwatch(fd, Direction::Read)).flatten();
            if let Some(Target::Listener(listener)) = &target {
                listener.get().stop();
            }
            crate::watch::retire(py, target)?;
        }
        sock.call_method0(intern!(py, "close"))?;
        Ok(())
    }
}
