//! Unix stream sockets.
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net;
use std::panic::Location;
use std::path::Path;
use std::task::{Context, Poll};

use boros_reactor::Direction;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::net::Io;

/// A connection through a Unix socket. Dropping it closes it.
pub struct UnixStream {
    io: Io<net::UnixStream>,
}

impl UnixStream {
    /// Connects to the socket at `path`, without waiting: the kernel does it at once or not at all.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when too many others wait to be accepted.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_ref())?)?;
        Ok(UnixStream { io: Io::new(socket.into())? })
    }

    /// Two ends of one connection.
    ///
    /// # Errors
    /// The system's.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a connection that was made elsewhere.
    ///
    /// # Errors
    /// The system's; no loop runs.
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream { io: Io::new(stream)? })
    }

    /// Reads what there is; see [`TcpStream::read`](crate::net::TcpStream::read).
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn read<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        self.io.read(buffer, Location::caller())
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// The system's; how much was written by then is not known.
    #[track_caller]
    pub fn write_all<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = io::Result<()>> + 'a {
        self.io.write_all(data, Location::caller())
    }

    /// Polls a read; the last task that polled is woken.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.poll_read(cx, buffer, Location::caller())
    }

    /// Polls a write; the last task that polled is woken.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn poll_write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, data, Location::caller())
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.socket().shutdown(how)
    }

    pub(crate) fn io(&self) -> &Io<net::UnixStream> {
        &self.io
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl std::fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.socket().fmt(f)
    }
}

/// A Unix socket that accepts connections. Dropping it closes it; its file stays.
pub struct UnixListener {
    io: Io<net::UnixListener>,
}

impl UnixListener {
    /// Makes a socket at `path` and listens on it.
    ///
    /// # Errors
    /// The system's, such as `AddrInUse` when there is a file at `path`.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let listener = net::UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(UnixListener { io: Io::new(listener)? })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<UnixStream>> + '_ {
        let at = Location::caller();
        async move {
            let accept = |listener: &net::UnixListener| listener.accept();
            let (stream, _) = self.io.operation(Direction::Read, at, accept, |_, _| true).await?;
            UnixStream::from_std(stream)
        }
    }
}

impl std::fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.socket().fmt(f)
    }
}
