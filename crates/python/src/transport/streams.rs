//! What the transports of one loop share.
use std::collections::HashSet;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::prelude::*;

use super::StreamTransport;
use super::write;
use crate::cell::GilCell;

/// As much as one read takes, the same as asyncio's.
pub(super) const MAX_READ: usize = 256 * 1024;

/// The transports that were written to by the job under way, the buffer to read into, and the descriptors
/// that belong to transports.
pub(crate) struct Streams {
    in_job: AtomicBool,
    /// Whether `dirty` holds anything: looked at after each job.
    is_dirty: AtomicBool,
    dirty: GilCell<Vec<Py<StreamTransport>>>,
    scratch: GilCell<Vec<u8>>,
    descriptors: GilCell<HashSet<RawFd>>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Streams {
            in_job: AtomicBool::new(false),
            is_dirty: AtomicBool::new(false),
            dirty: GilCell::new(Vec::new()),
            scratch: GilCell::new(Vec::new()),
            descriptors: GilCell::new(HashSet::new()),
        }
    }

    /// From here to [`Streams::leave_job`], what is written may wait for the job's end.
    #[inline]
    pub(crate) fn enter_job(&self) {
        self.in_job.store(true, Relaxed);
    }

    /// Ends what [`Streams::enter_job`] began. Answers whether the job wrote something that has to be sent now,
    /// by [`Streams::flush`].
    #[inline]
    pub(crate) fn leave_job(&self) -> bool {
        self.in_job.store(false, Relaxed);
        self.is_dirty.load(Relaxed)
    }

    /// Sends what the job wrote.
    ///
    /// # Errors
    /// What the loop's exception handler raises on a failed write.
    pub(crate) fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.is_dirty.store(false, Relaxed);
        let mut dirty = self.dirty.with(py, std::mem::take);
        let mut result = Ok(());
        for transport in dirty.drain(..) {
            result = result.and(write::flush_dirty(transport.bind(py)));
        }
        // The allocation serves the next job, unless somebody wrote meanwhile.
        self.dirty.with(py, |current| {
            if current.is_empty() {
                *current = dirty;
            }
        });
        result
    }

    /// Whether a job is being run, at whose end `transport` is flushed.
    #[inline]
    pub(super) fn defer(&self, transport: &Bound<'_, StreamTransport>) -> bool {
        if !self.in_job.load(Relaxed) {
            return false;
        }
        let entry = transport.clone().unbind();
        self.dirty.with(transport.py(), |dirty| dirty.push(entry));
        self.is_dirty.store(true, Relaxed);
        true
    }

    /// Lends the buffer to read into.
    pub(super) fn scratch<R>(&self, py: Python<'_>, f: impl FnOnce(&mut [u8]) -> R) -> R {
        self.scratch.with(py, |scratch| {
            if scratch.is_empty() {
                *scratch = vec![0; MAX_READ];
            }
            f(scratch)
        })
    }

    pub(super) fn claim(&self, py: Python<'_>, fd: RawFd) {
        self.descriptors.with(py, |descriptors| descriptors.insert(fd));
    }

    pub(super) fn unclaim(&self, py: Python<'_>, fd: RawFd) {
        self.descriptors.with(py, |descriptors| descriptors.remove(&fd));
    }

    /// Whether `fd` belongs to a transport that is not closing.
    pub(super) fn is_claimed(&self, py: Python<'_>, fd: RawFd) -> bool {
        self.descriptors.with(py, |descriptors| descriptors.contains(&fd))
    }
}
