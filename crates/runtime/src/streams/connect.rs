//! Connections as streams.
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;

use crate::error::InvalidState;
use crate::net::{TcpStream, UnixStream};
use crate::running;
use crate::streams::{StreamReader, StreamWriter, Transport};

/// Connects to `host`, an address or a name, over TCP.
///
/// # Errors
/// The system's; see [`TcpStream::connect`].
#[track_caller]
pub fn open_connection(
    host: &str,
    port: u16,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    let (at, connect) = (Location::caller(), TcpStream::connect(host, port));
    async move { streams(Rc::new(connect.await?), at).map_err(io::Error::other) }
}

/// Connects to the Unix socket at `path`.
///
/// # Errors
/// The system's.
#[track_caller]
pub fn open_unix_connection(path: impl AsRef<Path>) -> io::Result<(StreamReader, StreamWriter)> {
    from_unix(UnixStream::connect(path)?).map_err(io::Error::other)
}

/// The streams of a connection.
///
/// # Errors
/// [`InvalidState::NoLoop`].
#[track_caller]
pub fn from_tcp(stream: TcpStream) -> Result<(StreamReader, StreamWriter), InvalidState> {
    streams(Rc::new(stream), Location::caller())
}

/// The streams of a connection.
///
/// # Errors
/// [`InvalidState::NoLoop`].
#[track_caller]
pub fn from_unix(stream: UnixStream) -> Result<(StreamReader, StreamWriter), InvalidState> {
    streams(Rc::new(stream), Location::caller())
}

pub(crate) fn streams(
    transport: Rc<dyn Transport>,
    at: &'static Location<'static>,
) -> Result<(StreamReader, StreamWriter), InvalidState> {
    let writer = StreamWriter::new(running::core()?, Rc::clone(&transport), at);
    Ok((StreamReader::new(transport), writer))
}
