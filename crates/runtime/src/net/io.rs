//! A socket and its readiness, for every kind of socket.
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use boros_reactor::Direction;

use crate::running;
use crate::source::{IoWait, Source};

/// A socket that does not block, and what the loop knows of it.
pub(crate) struct Io<S> {
    socket: S,
    source: Rc<Source>,
    /// The waits of those who poll, rather than await an operation: one for each direction.
    reading: RefCell<IoWait>,
    writing: RefCell<IoWait>,
}

impl<S: AsRawFd> Io<S> {
    /// On the loop that runs. The socket is in non-blocking mode.
    pub(crate) fn new(socket: S) -> io::Result<Self> {
        let core = running::core().map_err(io::Error::other)?;
        let source = Source::new(core, socket.as_raw_fd());
        let (reading, writing) = (RefCell::new(IoWait::new()), RefCell::new(IoWait::new()));
        Ok(Io { socket, source, reading, writing })
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    pub(crate) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// An operation that waits until the socket is ready. `more` tells from the result whether it may still be ready then.
    #[inline]
    pub(crate) fn operation<R, F: FnMut(&S) -> io::Result<R> + Unpin>(
        &self,
        direction: Direction,
        at: &'static Location<'static>,
        operation: F,
        more: fn(&F, &R) -> bool,
    ) -> Operation<'_, S, F, R> {
        Operation { io: self, direction, at, operation, more, wait: IoWait::new() }
    }
}

impl<S: AsRawFd> Io<S>
where
    for<'a> &'a S: Read + Write,
{
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        buffer: &mut [u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        let mut wait = self.reading.borrow_mut();
        self.source.poll(
            cx,
            Direction::Read,
            &mut wait,
            at,
            || (&self.socket).read(buffer),
            |count| *count == room,
        )
    }

    #[inline]
    pub(crate) fn poll_write(
        &self,
        cx: &Context<'_>,
        data: &[u8],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        let mut wait = self.writing.borrow_mut();
        self.source.poll(
            cx,
            Direction::Write,
            &mut wait,
            at,
            || (&self.socket).write(data),
            |count| *count == data.len(),
        )
    }

    #[cfg_attr(not(any(feature = "futures-io", feature = "hyper")), allow(dead_code))]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &Context<'_>,
        data: &[IoSlice<'_>],
        at: &'static Location<'static>,
    ) -> Poll<io::Result<usize>> {
        let all: usize = data.iter().map(|slice| slice.len()).sum();
        let mut wait = self.writing.borrow_mut();
        self.source.poll(
            cx,
            Direction::Write,
            &mut wait,
            at,
            || (&self.socket).write_vectored(data),
            |count| *count == all,
        )
    }

    #[inline]
    pub(crate) fn read<'a>(
        &'a self,
        buffer: &'a mut [u8],
        at: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        Transfer { io: self, at, wait: IoWait::new(), buffer }
    }

    pub(crate) async fn write_all(
        &self,
        mut data: &[u8],
        at: &'static Location<'static>,
    ) -> io::Result<()> {
        while !data.is_empty() {
            let left = data;
            let write = |mut socket: &S| socket.write(left);
            match self.operation(Direction::Write, at, write, |_, _| true).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => data = &data[count..],
            }
        }
        Ok(())
    }
}

impl<S> Drop for Io<S> {
    fn drop(&mut self) {
        // Before the descriptor is closed, which its number may be given to another.
        self.reading.get_mut().end(&self.source, Direction::Read);
        self.writing.get_mut().end(&self.source, Direction::Write);
        self.source.release();
    }
}

impl<S: AsFd> AsFd for Io<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One operation on a socket.
pub(crate) struct Operation<'a, S, F, R> {
    io: &'a Io<S>,
    direction: Direction,
    at: &'static Location<'static>,
    operation: F,
    more: fn(&F, &R) -> bool,
    wait: IoWait,
}

impl<S, R, F: FnMut(&S) -> io::Result<R> + Unpin> Future for Operation<'_, S, F, R> {
    type Output = io::Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Operation { io, direction, at, operation, more, wait } = &mut *self;
        let done = |_: &R| true;
        let poll = io.source.poll(cx, *direction, wait, at, || operation(&io.socket), done);
        if let Poll::Ready(Ok(result)) = &poll
            && !more(operation, result)
        {
            io.source.exhausted(*direction);
        }
        poll
    }
}

impl<S, F, R> Drop for Operation<'_, S, F, R> {
    fn drop(&mut self) {
        self.wait.end(&self.io.source, self.direction);
    }
}

/// A read into a buffer.
struct Transfer<'a, S> {
    io: &'a Io<S>,
    at: &'static Location<'static>,
    wait: IoWait,
    buffer: &'a mut [u8],
}

impl<S> Future for Transfer<'_, S>
where
    for<'a> &'a S: Read,
{
    type Output = io::Result<usize>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Transfer { io, at, wait, buffer } = &mut *self;
        let room = buffer.len();
        let read = || (&io.socket).read(buffer);
        // Less than there was room for is all there is: the next read waits without trying.
        io.source.poll(cx, Direction::Read, wait, at, read, |count| *count == room)
    }
}

impl<S> Drop for Transfer<'_, S> {
    fn drop(&mut self) {
        self.wait.end(&self.io.source, Direction::Read);
    }
}
