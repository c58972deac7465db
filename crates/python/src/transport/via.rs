//! The system calls that move bytes: those of sockets, and those of files.
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::{self, Errno};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

/// Never raises SIGPIPE.
const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
const RECV: RecvFlags = RecvFlags::DONTWAIT;

/// How a descriptor is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// A socket: never blocks, also where the program has made it blocking.
    Socket,
    /// A pipe or a device, which has to be non-blocking.
    File,
}

impl Via {
    /// Reads once.
    pub(super) fn read(self, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
        uninterrupted(|| match self {
            Via::Socket => recv(fd, &mut *buffer, RECV).map(|(_, count)| count),
            Via::File => io::read(fd, &mut *buffer),
        })
    }

    /// Reads once, into memory that may be uninitialised. The first bytes, as many as it answers, are not.
    pub(super) fn read_uninit(
        self,
        fd: BorrowedFd<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Result<usize, Errno> {
        uninterrupted(|| match self {
            Via::Socket => recv(fd, &mut *buffer, RECV).map(|((read, _), _)| read.len()),
            Via::File => io::read(fd, &mut *buffer).map(|(read, _)| read.len()),
        })
    }

    /// Writes once.
    pub(super) fn write(self, fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
        match self {
            Via::Socket => send(fd, data, SEND),
            Via::File => io::write(fd, data),
        }
    }

    /// Writes several pieces at once.
    pub(super) fn write_pieces(
        self,
        fd: BorrowedFd<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Result<usize, Errno> {
        match self {
            Via::Socket => sendmsg(fd, pieces, &mut SendAncillaryBuffer::default(), SEND),
            Via::File => io::writev(fd, pieces),
        }
    }
}

fn uninterrupted(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
