//! Where the server listens, and connections to it.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// A connected, non-blocking socket that sends without delay.
    pub(crate) fn connect(&self, timeout: Duration) -> Result<OwnedFd, Failure> {
        match self {
            Self::Tcp(address) => {
                let stream =
                    TcpStream::connect_timeout(address, timeout).map_err(Failure::io("connect"))?;
                stream.set_nodelay(true).map_err(Failure::io("TCP_NODELAY"))?;
                stream.set_nonblocking(true).map_err(Failure::io("O_NONBLOCK"))?;
                Ok(stream.into())
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(Failure::io("connect"))?;
                stream.set_nonblocking(true).map_err(Failure::io("O_NONBLOCK"))?;
                Ok(stream.into())
            }
        }
    }
}
