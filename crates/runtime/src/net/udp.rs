//! UDP.
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use boros_reactor::Direction;

use crate::net::{Io, resolve};

/// A UDP socket. Dropping it closes it.
pub struct UdpSocket {
    io: Io<std::net::UdpSocket>,
}

impl UdpSocket {
    /// A socket on `port` of the first address of `host` that can be had; port 0 is any free one.
    ///
    /// # Errors
    /// The system's, of the last address tried.
    #[track_caller]
    pub fn bind(host: &str, port: u16) -> impl Future<Output = io::Result<Self>> {
        let at = Location::caller();
        async move {
            let socket = std::net::UdpSocket::bind(&resolve(host, port, at).await?[..])?;
            socket.set_nonblocking(true)?;
            Ok(UdpSocket { io: Io::new(socket)? })
        }
    }

    /// Sends to and receives from `address` only, from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.io.socket().connect(address)
    }

    /// Receives a datagram; what `buffer` cannot hold of it is lost.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + 'a {
        let receive = |socket: &std::net::UdpSocket| socket.recv_from(buffer);
        self.io.operation(Direction::Read, Location::caller(), receive, |_, _| true)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        data: &'a [u8],
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let send = move |socket: &std::net::UdpSocket| socket.send_to(data, address);
        self.io.operation(Direction::Write, Location::caller(), send, |_, _| true)
    }

    /// Receives a datagram of the peer that it is connected to.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn recv<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let receive = |socket: &std::net::UdpSocket| socket.recv(buffer);
        self.io.operation(Direction::Read, Location::caller(), receive, |_, _| true)
    }

    /// Sends a datagram to the peer that it is connected to.
    ///
    /// # Errors
    /// The system's.
    #[track_caller]
    pub fn send<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        let send = |socket: &std::net::UdpSocket| socket.send(data);
        self.io.operation(Direction::Write, Location::caller(), send, |_, _| true)
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.socket().fmt(f)
    }
}
