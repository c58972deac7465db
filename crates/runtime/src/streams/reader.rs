//! The reading side of a stream.
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::rc::Rc;

use crate::error::Result;
use crate::streams::Transport;

/// How much `readline` and `readuntil` take in before they give up, unless [`StreamReader::set_limit`] says otherwise.
const DEFAULT_LIMIT: usize = 64 * 1024;
/// The room for one read.
const CHUNK: usize = 16 * 1024;

/// The reading side of a stream. A read that is cancelled, or given up, loses nothing: what has come in is for the next.
pub struct StreamReader {
    transport: Rc<dyn Transport>,
    /// What has come in is between `start` and `end`; the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
    eof: bool,
}

/// The stream has ended before as much as was asked for had come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncompleteRead {
    /// What had come.
    pub partial: Vec<u8>,
    /// How many bytes were asked for, if that was known.
    pub expected: Option<usize>,
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream ended after {} bytes", self.partial.len())?;
        match self.expected {
            Some(expected) => write!(f, " of {expected}"),
            None => f.write_str(" without the separator"),
        }
    }
}

impl std::error::Error for IncompleteRead {}

/// The separator did not come within the limit. What has come can be read by other means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitOverrun {
    /// How many bytes there are that do not hold the separator.
    pub consumed: usize,
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no separator in {} bytes, which is more than the limit", self.consumed)
    }
}

impl std::error::Error for LimitOverrun {}

impl StreamReader {
    pub(crate) fn new(transport: Rc<dyn Transport>) -> Self {
        StreamReader {
            transport,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            limit: DEFAULT_LIMIT,
            eof: false,
        }
    }

    /// Has `readline` and `readuntil` give up after `limit` bytes.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Whether the stream has ended and everything was read.
    pub fn at_eof(&self) -> bool {
        self.eof && self.start == self.end
    }

    fn filled(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        taken
    }

    /// Waits for more to come in; false if the stream has ended.
    async fn fill(&mut self, at: &'static Location<'static>) -> io::Result<bool> {
        if self.eof {
            return Ok(false);
        }
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let room = (self.end + CHUNK).max(self.buffer.len());
            self.buffer.resize(room, 0);
        }
        let (transport, room) = (&self.transport, &mut self.buffer[self.end..]);
        let count = poll_fn(|cx| transport.poll_read(cx, room, at)).await?;
        self.end += count;
        self.eof = count == 0;
        Ok(count > 0)
    }

    /// Reads what there is, at most `count` bytes; waits if there is nothing. Empty: the stream has ended.
    ///
    /// # Errors
    /// The system's, [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn read(&mut self, count: usize) -> impl Future<Output = Result<Vec<u8>>> + '_ {
        let at = Location::caller();
        async move {
            if count > 0 && self.start == self.end {
                self.fill(at).await?;
            }
            let count = count.min(self.end - self.start);
            Ok(self.take(count))
        }
    }

    /// Reads everything to the end of the stream.
    ///
    /// # Errors
    /// The system's, [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = Result<Vec<u8>>> + '_ {
        let at = Location::caller();
        async move {
            while self.fill(at).await? {}
            Ok(self.take(self.end - self.start))
        }
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// [`IncompleteRead`] with what there is, if the stream ends before; the system's; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn readexactly(&mut self, count: usize) -> impl Future<Output = Result<Vec<u8>>> + '_ {
        let at = Location::caller();
        async move {
            while self.end - self.start < count {
                if !self.fill(at).await? {
                    let partial = self.take(self.end - self.start);
                    return Err(IncompleteRead { partial, expected: Some(count) }.into());
                }
            }
            Ok(self.take(count))
        }
    }

    /// Reads a line, with its `\n`. Without one: what came before the stream ended.
    ///
    /// # Errors
    /// [`LimitOverrun`]: the line is longer than the limit; the system's; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn readline(&mut self) -> impl Future<Output = Result<Vec<u8>>> + '_ {
        let read = self.readuntil(b"\n");
        async move {
            match read.await {
                Err(error) => match error.downcast_ref::<IncompleteRead>() {
                    Some(incomplete) => Ok(incomplete.partial.clone()),
                    None => Err(error),
                },
                line => line,
            }
        }
    }

    /// Reads to the first `separator`, which is part of the answer. An empty one is found at once.
    ///
    /// # Errors
    /// [`IncompleteRead`] with what there is, if the stream ends before; [`LimitOverrun`], which leaves what has come; the
    /// system's; [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn readuntil<'a>(
        &'a mut self,
        separator: &'a [u8],
    ) -> impl Future<Output = Result<Vec<u8>>> + 'a {
        let at = Location::caller();
        async move {
            // Where the separator may begin that was not looked at yet.
            let mut from = 0;
            loop {
                if let Some(index) = find(&self.filled()[from..], separator) {
                    let count = from + index + separator.len();
                    if count - separator.len() > self.limit {
                        return Err(LimitOverrun { consumed: count - separator.len() }.into());
                    }
                    return Ok(self.take(count));
                }
                from = (self.filled().len() + 1).saturating_sub(separator.len()).max(from);
                if from > self.limit {
                    return Err(LimitOverrun { consumed: from }.into());
                }
                if !self.fill(at).await? {
                    let partial = self.take(self.end - self.start);
                    return Err(IncompleteRead { partial, expected: None }.into());
                }
            }
        }
    }
}

/// Where `needle` begins.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [] => Some(0),
        [byte] => hay.iter().position(|other| other == byte),
        _ => hay.windows(needle.len()).position(|window| window == needle),
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &(self.end - self.start))
            .field("eof", &self.eof)
            .finish_non_exhaustive()
    }
}
