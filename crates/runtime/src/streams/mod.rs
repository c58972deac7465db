//! Streams of bytes: a reader and a writer for each connection, with asyncio's ways to read and write.

mod connect;
mod reader;
mod server;
mod transport;
mod writer;

pub use connect::{from_tcp, from_unix, open_connection, open_unix_connection};
pub use reader::{IncompleteRead, LimitOverrun, StreamReader};
pub use server::{Server, start_server, start_unix_server};
pub use writer::StreamWriter;

#[cfg(feature = "tls")]
pub(crate) use connect::streams;
pub(crate) use transport::Transport;
