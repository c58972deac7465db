//! What moves the bytes of a stream.
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;
use std::task::{Context, Poll};

use crate::net::{TcpStream, UnixStream};

/// A connection of any kind, shared by its reader and its writer.
pub(crate) trait Transport {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>>;

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>>;

    /// What was written and is held back, as by TLS, leaves.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// No more will be written.
    fn poll_write_eof(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Neither side reads or writes any more.
    fn close(&self);

    fn peer_addr(&self) -> Option<SocketAddr>;
    fn local_addr(&self) -> Option<SocketAddr>;
}

impl Transport for TcpStream {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        self.io().poll_read(cx, buffer, at)
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, data, at)
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_eof(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }

    fn close(&self) {
        // Fails when the other side was faster.
        let _ = self.shutdown(Shutdown::Both);
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        TcpStream::peer_addr(self).ok()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        TcpStream::local_addr(self).ok()
    }
}

impl Transport for UnixStream {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        self.io().poll_read(cx, buffer, at)
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, data, at)
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_eof(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }

    fn close(&self) {
        // Fails when the other side was faster.
        let _ = self.shutdown(Shutdown::Both);
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        None
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}
