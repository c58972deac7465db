//! Bytes on their way out.
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;

use super::via::Via;

/// As many pieces as one system call takes (Linux's `UIO_MAXIOV`) …
const MAX_PIECES: usize = 1024;
/// … and as many as an array on the stack is made for.
const FEW_PIECES: usize = 32;

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

    /// Sends as much as the kernel takes to a socket. Never blocks.
    pub(crate) fn send(&mut self, py: Python<'_>, fd: BorrowedFd<'_>) -> Sent {
        self.send_via(py, fd, Via::Socket)
    }

    /// Sends as much as the kernel takes. Blocks only on a file that does.
    pub(crate) fn send_via(&mut self, py: Python<'_>, fd: BorrowedFd<'_>, via: Via) -> Sent {
        while self.size > 0 {
            let (tried, sent) = self.send_once(py, fd, via);
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
    fn send_once(
        &self,
        py: Python<'_>,
        fd: BorrowedFd<'_>,
        via: Via,
    ) -> (usize, Result<usize, Errno>) {
        match self.pieces.len() {
            1 => {
                let piece = self.pieces.front().map_or(&[][..], |piece| piece.as_bytes(py));
                let rest = &piece[self.start..];
                (rest.len(), via.write(fd, rest))
            }
            ..=FEW_PIECES => self.send_pieces(py, fd, via, &mut [IoSlice::new(&[]); FEW_PIECES]),
            many => {
                self.send_pieces(py, fd, via, &mut vec![IoSlice::new(&[]); many.min(MAX_PIECES)])
            }
        }
    }

    fn send_pieces<'a>(
        &'a self,
        py: Python<'a>,
        fd: BorrowedFd<'_>,
        via: Via,
        slices: &mut [IoSlice<'a>],
    ) -> (usize, Result<usize, Errno>) {
        let (mut count, mut tried, mut start) = (0, 0, self.start);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let piece = &piece.as_bytes(py)[start..];
            start = 0;
            *slice = IoSlice::new(piece);
            tried += piece.len();
            count += 1;
        }
        (tried, via.write_pieces(fd, &slices[..count]))
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
