//! TCP.
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::task::{Context, Poll};

use boros_reactor::Direction;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::net::Io;
use crate::net::resolve;

/// A TCP connection. Dropping it closes it.
pub struct TcpStream {
    io: Io<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first address of `host` that accepts. `host` is an address or a name, which is looked up in another
    /// thread.
    ///
    /// # Errors
    /// The system's, of the last address tried; `NotFound` if there is none.
    #[track_caller]
    pub fn connect(host: &str, port: u16) -> impl Future<Output = io::Result<Self>> {
        let at = Location::caller();
        async move {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            for address in resolve(host, port, at).await? {
                match Self::connect_at(address, at).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) if crate::Cancelled::is_in(&error) => return Err(error),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn connect_addr(address: SocketAddr) -> impl Future<Output = io::Result<Self>> {
        Self::connect_at(address, Location::caller())
    }

    async fn connect_at(address: SocketAddr, at: &'static Location<'static>) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        let pending = match rustix::net::connect(&socket, &address) {
            Ok(()) => false,
            Err(rustix::io::Errno::INPROGRESS) => true,
            Err(error) => return Err(error.into()),
        };
        let stream = Self::new(socket.into())?;
        if pending {
            stream.io.source().exhausted(Direction::Write);
            let ended = |socket: &std::net::TcpStream| socket.take_error()?.map_or(Ok(()), Err);
            stream.io.operation(Direction::Write, at, ended, |_, ()| true).await?;
        }
        Ok(stream)
    }

    /// Takes over a connection that was made elsewhere.
    ///
    /// # Errors
    /// The system's; no loop runs.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::new(stream)
    }

    fn new(stream: std::net::TcpStream) -> io::Result<Self> {
        // As in asyncio: what is written is meant to leave.
        stream.set_nodelay(true)?;
        Ok(TcpStream { io: Io::new(stream)? })
    }

    /// Reads what there is, at most as much as `buffer` holds; waits if there is nothing. Zero: the other side has ended.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    #[inline]
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
    #[inline]
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

    /// The address of the other side.
    ///
    /// # Errors
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    pub(crate) fn io(&self) -> &Io<std::net::TcpStream> {
        &self.io
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.socket().fmt(f)
    }
}

/// A TCP socket that accepts connections. Dropping it closes it.
pub struct TcpListener {
    io: Io<std::net::TcpListener>,
}

impl TcpListener {
    /// Listens on `port` of the first address of `host` that can be had; port 0 is any free one.
    ///
    /// # Errors
    /// The system's, of the last address tried.
    #[track_caller]
    pub fn bind(host: &str, port: u16) -> impl Future<Output = io::Result<Self>> {
        let at = Location::caller();
        async move {
            let addresses = resolve(host, port, at).await?;
            Self::from_std(std::net::TcpListener::bind(&addresses[..])?)
        }
    }

    /// Takes over a listening socket.
    ///
    /// # Errors
    /// The system's; no loop runs.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener { io: Io::new(listener)? })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The system's, such as too many open files: the connection waits on.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + '_ {
        let at = Location::caller();
        async move {
            let accept = |listener: &std::net::TcpListener| listener.accept();
            let (stream, address) =
                self.io.operation(Direction::Read, at, accept, |_, _| true).await?;
            Ok((TcpStream::from_std(stream)?, address))
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.socket().fmt(f)
    }
}
