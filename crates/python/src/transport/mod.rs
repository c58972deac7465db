//! Transports over sockets and pipes: one object owns a descriptor, and the loop tells it of readiness.
//!
//! What a callback or a task's step writes is kept until that job ends and leaves in one system call, see
//! [`streams::Streams`]. Semantics: CPython's `Lib/asyncio/selector_events.py`,
//! `unix_events.py` (pipes) and `transports.py`.

mod address;
mod datagram;
mod endpoint;
mod face;
mod flow;
mod info;
mod listener;
mod pipe;
mod pipe_read;
mod pipe_write;
mod pipe_write_face;
mod read;
mod sendfile;
mod stream;
mod streams;
mod via;
mod write;
mod write_buffer;

pub(crate) use datagram::{
    DatagramTransport, read_ready as datagram_read_ready, write_ready as datagram_write_ready,
};
pub(crate) use listener::Listener;
pub(crate) use pipe::PipeEnd;
pub(crate) use pipe_read::ReadPipeTransport;
pub(crate) use pipe_write::WritePipeTransport;
pub(crate) use read::read_ready;
pub(crate) use stream::StreamTransport;
pub(crate) use streams::Streams;
pub(crate) use write::write_ready;
