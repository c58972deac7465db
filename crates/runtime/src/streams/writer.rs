//! The writing side of a stream.
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::core::{Core, Flush};
use crate::error::{Error, Result};
use crate::streams::Transport;
use crate::sync::Event;
use crate::task;

/// Above this, [`StreamWriter::drain`] waits until it is a quarter.
const HIGH_WATER: usize = 64 * 1024;
const LOW_WATER: usize = HIGH_WATER / 4;

/// The writing side of a stream. What is written in one step leaves at the end of the step, in one piece if the system takes
/// it; the rest follows by itself. Dropping it closes the stream, as [`close`](StreamWriter::close) does.
pub struct StreamWriter {
    inner: Rc<Inner>,
}

/// Up to where the stream is to be closed when all has been written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    No,
    Write,
    Both,
}

struct Inner {
    core: Rc<Core>,
    transport: Rc<dyn Transport>,
    pending: RefCell<Vec<u8>>,
    /// Will be flushed at the end of the step.
    marked: Cell<bool>,
    /// A task writes what the system did not take at once.
    flushing: Cell<bool>,
    ending: Cell<Ending>,
    error: RefCell<Option<Error>>,
    /// Set while little enough waits to be written.
    drained: Event,
    closed: Event,
    opened_at: &'static Location<'static>,
}

impl StreamWriter {
    pub(crate) fn new(
        core: Rc<Core>,
        transport: Rc<dyn Transport>,
        opened_at: &'static Location<'static>,
    ) -> Self {
        let drained = Event::new();
        drained.set();
        let inner = Inner {
            core,
            transport,
            pending: RefCell::new(Vec::new()),
            marked: Cell::new(false),
            flushing: Cell::new(false),
            ending: Cell::new(Ending::No),
            error: RefCell::new(None),
            drained,
            closed: Event::new(),
            opened_at,
        };
        StreamWriter { inner: Rc::new(inner) }
    }

    /// Writes `data`, without waiting. It is kept until the system takes it: who writes a lot awaits
    /// [`drain`](StreamWriter::drain) now and then. What is written to a stream that was closed or has failed is dropped.
    pub fn write(&self, data: &[u8]) {
        let inner = &self.inner;
        if inner.ending.get() != Ending::No || inner.error.borrow().is_some() {
            return;
        }
        inner.pending.borrow_mut().extend_from_slice(data);
        if inner.pending.borrow().len() > HIGH_WATER {
            inner.drained.clear();
        }
        inner.mark();
    }

    /// Waits until little enough is waiting to be written.
    ///
    /// # Errors
    /// That of an earlier write; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn drain(&self) -> impl Future<Output = Result<()>> + '_ {
        let wait = self.inner.drained.wait();
        async move {
            self.inner.check()?;
            wait.await?;
            self.inner.check()
        }
    }

    /// Says that nothing more will be written; the other side finds the end of the stream. Reading goes on.
    pub fn write_eof(&self) {
        self.inner.end(Ending::Write);
    }

    /// Closes the stream when all has been written.
    pub fn close(&self) {
        self.inner.end(Ending::Both);
    }

    /// Whether the stream was closed, or is about to be.
    pub fn is_closing(&self) -> bool {
        self.inner.ending.get() == Ending::Both
    }

    /// Waits until the stream is closed.
    ///
    /// # Errors
    /// That of a write; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + '_ {
        let wait = self.inner.closed.wait();
        async move {
            wait.await?;
            self.inner.check()
        }
    }

    /// The address of the other side, where there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.transport.peer_addr()
    }

    /// The address of this side, where there is one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.transport.local_addr()
    }

    /// How many bytes wait to be written.
    pub fn buffered(&self) -> usize {
        self.inner.pending.borrow().len()
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("buffered", &self.buffered())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn check(&self) -> Result<()> {
        self.error.borrow().clone().map_or(Ok(()), Err)
    }

    fn mark(self: &Rc<Self>) {
        if !self.flushing.get() && !self.marked.replace(true) {
            self.core.flush_later(Rc::clone(self) as Rc<dyn Flush>);
        }
    }

    fn end(self: &Rc<Self>, ending: Ending) {
        if ending <= self.ending.get() {
            return;
        }
        self.ending.set(ending);
        if self.core.closed.get() || self.core.current.borrow().is_none() {
            // No step is under way at whose end it would be flushed.
            Rc::clone(self).flush();
        } else {
            self.mark();
        }
    }

    /// Writes what is pending, then ends the stream as far as was asked for.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pending = self.pending.borrow_mut();
        let mut written = 0;
        let result = loop {
            if written == pending.len() {
                break self.transport.poll_flush(cx);
            }
            match self.transport.poll_write(cx, &pending[written..], self.opened_at) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        pending.drain(..written);
        let left = pending.len();
        drop(pending);
        if left <= LOW_WATER {
            self.drained.set();
        }
        match result {
            Poll::Ready(Ok(())) if self.ending.get() != Ending::No => {
                self.transport.poll_write_eof(cx)
            }
            other => other,
        }
    }

    fn finish(&self, result: io::Result<()>) {
        if let Err(error) = result {
            // A stream that the other side closed before us is closed as was wanted.
            let closed =
                error.kind() == io::ErrorKind::NotConnected && self.pending.borrow().is_empty();
            if !closed {
                self.pending.borrow_mut().clear();
                *self.error.borrow_mut() = Some(error.into());
                self.drained.set();
                self.ending.set(Ending::Both);
            }
        }
        if self.ending.get() == Ending::Both {
            self.transport.close();
            self.closed.set();
        }
    }
}

impl Flush for Inner {
    fn flush(self: Rc<Self>) {
        self.marked.set(false);
        if self.flushing.get() {
            return;
        }
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => self.finish(result),
            Poll::Pending => {
                self.flushing.set(true);
                let (inner, core) = (Rc::clone(&self), Rc::clone(&self.core));
                let rest = async move {
                    let result = poll_fn(|cx| inner.poll(cx)).await;
                    inner.flushing.set(false);
                    inner.finish(result);
                    Ok(())
                };
                // A closed loop writes nothing any more.
                if let Ok(task) = task::spawn(&core, rest, self.opened_at) {
                    task.set_name("stream writer");
                }
            }
        }
    }
}
