//! hyper's traits, so that it serves and fetches on a loop of this crate.
use std::future::Future;
use std::io::{self, IoSlice};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};

use crate::running;
use crate::task;

/// The room for one read; as much is copied once more, since hyper's buffers cannot be lent without unsafe code.
const CHUNK: usize = 8 * 1024;

/// A connection for hyper: a [`TcpStream`](crate::net::TcpStream), a [`UnixStream`](crate::net::UnixStream), a TLS stream, or
/// anything else with the traits of `futures`.
#[derive(Debug)]
pub struct HyperIo<T>(T);

impl<T> HyperIo<T> {
    /// For hyper's `handshake` or `serve_connection`.
    pub fn new(stream: T) -> Self {
        HyperIo(stream)
    }

    /// The connection.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsyncRead + Unpin> Read for HyperIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = CHUNK.min(buffer.remaining());
        let read = Pin::new(&mut self.get_mut().0).poll_read(cx, &mut chunk[..room]);
        read.map_ok(|count| buffer.put_slice(&chunk[..count]))
    }
}

impl<T: AsyncWrite + Unpin> Write for HyperIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(cx)
    }
}

/// Has hyper's own futures run as tasks of the loop that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct HyperExecutor;

impl<F: Future + 'static> Executor<F> for HyperExecutor {
    #[track_caller]
    fn execute(&self, future: F) {
        let task = async move {
            future.await;
            Ok(())
        };
        // Without a loop, or with one that is closed, nothing can run: the future is dropped.
        let _ = running::core().and_then(|core| task::spawn(&core, task, Location::caller()));
    }
}
