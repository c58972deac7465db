//! Bytes on their way out.
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

/// As many pieces as one system call takes: more gain nothing that would pay for the larger array.
const MAX_PIECES: usize = 64;

/// How an attempt to send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The buffer is empty.
    All,
    /// The kernel took what it had room for; the rest stays.
    Part,
    /// The connection is broken.
    Failed(Errno),
}

/// What was written and not sent yet. Its pieces are exact `bytes` objects, which never change and run no
/// Python code when they go.
#[derive(Default)]
pub(crate) struct WriteBuffer {
    pieces: VecDeque<Py<PyBytes>>,
    /// How much of the first piece has been sent.
    start: usize,
    size: usize,
}

impl WriteBuffer {
    /// Bytes that are not sent yet.
    pub(crate) fn len(&self) -> usize {
        self.size
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Appends an exact `bytes` object.
    pub(crate) fn push(&mut self, piece: &Bound<'_, PyBytes>) {
        let len = piece.as_bytes().len();
        if len > 0 {
            self.size += len;
            self.pieces.push_back(piece.clone().unbind());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.start = 0;
        self.size = 0;
    }

    /// Sends as much as the kernel takes. Never blocks.
    pub(crate) fn send(&mut self, py: Python<'_>, fd: BorrowedFd<'_>) -> Sent {
        while self.size > 0 {
            let (tried, sent) = self.send_once(py, fd);
            match sent {
                Ok(sent) => {
                    self.consume(py, sent);
                    if sent < tried {
                        return Sent::Part;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Sent::Part,
                Err(error) => return Sent::Failed(error),
            }
        }
        Sent::All
    }

    /// One system call: how many bytes it was given, and how many it took.
    fn send_once(&self, py: Python<'_>, fd: BorrowedFd<'_>) -> (usize, Result<usize, Errno>) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut pieces = self.pieces.iter();
        let first = pieces.next().map_or(&[][..], |piece| &piece.as_bytes(py)[self.start..]);
        if self.pieces.len() == 1 {
            return (first.len(), send(fd, first, flags));
        }
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        slices[0] = IoSlice::new(first);
        let mut count = 1;
        let mut tried = first.len();
        for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
            let piece = piece.as_bytes(py);
            *slice = IoSlice::new(piece);
            tried += piece.len();
            count += 1;
        }
        (tried, sendmsg(fd, &slices[..count], &mut SendAncillaryBuffer::default(), flags))
    }

    fn consume(&mut self, py: Python<'_>, mut sent: usize) {
        self.size -= sent;
        while let Some(first) = self.pieces.front() {
            let left = first.as_bytes(py).len() - self.start;
            if sent < left {
                self.start += sent;
                return;
            }
            sent -= left;
            self.start = 0;
            self.pieces.pop_front();
        }
    }
}
