//! TLS through rustls.
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
pub use futures_rustls::rustls;
use futures_rustls::{TlsAcceptor, TlsConnector};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::error::InvalidState;
use crate::net::TcpStream;
use crate::streams::{StreamReader, StreamWriter, Transport, streams};

/// A TCP connection with TLS.
pub struct TlsStream {
    inner: futures_rustls::TlsStream<TcpStream>,
}

/// Begins TLS on a connection to a server, whose certificate has to be for `name`.
///
/// # Errors
/// `InvalidInput` when `name` is neither a host's name nor an address; rustls's, as `InvalidData`; the system's.
pub async fn connect(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let inner = TlsConnector::from(config).connect(name, stream).await?;
    Ok(TlsStream { inner: inner.into() })
}

/// Begins TLS on a connection from a client.
///
/// # Errors
/// rustls's, as `InvalidData`; the system's.
pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
    Ok(TlsStream { inner: TlsAcceptor::from(config).accept(stream).await?.into() })
}

/// Connects to `host` over TCP and begins TLS.
///
/// # Errors
/// As [`TcpStream::connect`] and [`connect`].
#[track_caller]
pub fn open_connection(
    host: &str,
    port: u16,
    config: Arc<ClientConfig>,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    let (at, stream) = (Location::caller(), TcpStream::connect(host, port));
    async move {
        let stream = connect(stream.await?, config, host).await?;
        stream.into_streams_at(at).map_err(io::Error::other)
    }
}

impl TlsStream {
    /// The connection as streams.
    ///
    /// # Errors
    /// [`InvalidState::NoLoop`].
    #[track_caller]
    pub fn into_streams(self) -> Result<(StreamReader, StreamWriter), InvalidState> {
        self.into_streams_at(Location::caller())
    }

    fn into_streams_at(
        self,
        at: &'static Location<'static>,
    ) -> Result<(StreamReader, StreamWriter), InvalidState> {
        streams(Rc::new(Shared(RefCell::new(self))), at)
    }

    /// The TCP connection beneath.
    pub fn tcp(&self) -> &TcpStream {
        self.inner.get_ref().0
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("tcp", self.tcp()).finish_non_exhaustive()
    }
}

/// Shared by a reader and a writer. Neither keeps it borrowed while it waits.
struct Shared(RefCell<TlsStream>);

impl Transport for Shared {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        _at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buffer) {
            // Many servers end without saying so; asyncio takes it for the end as well.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(0))
            }
            other => other,
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        _at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_write_eof(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_close(cx)
    }

    fn close(&self) {
        let mut stream = self.0.borrow_mut();
        // The goodbye was sent before, unless the connection has failed.
        let _ = Pin::new(&mut *stream).poll_close(&mut Context::from_waker(Waker::noop()));
        Transport::close(stream.tcp());
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.borrow().tcp().peer_addr().ok()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.0.borrow().tcp().local_addr().ok()
    }
}
