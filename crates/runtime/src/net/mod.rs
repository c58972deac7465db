//! Sockets: TCP, UDP and Unix, for the tasks of a loop.
//!
//! Operations take `&self`, so that one task may read while another writes. They answer with the system's errors; the one of a
//! task that was cancelled is told by [`Cancelled::is_in`](crate::Cancelled::is_in). What a cancelled read or write would
//! have moved has not been moved.

mod io;
mod resolve;
mod tcp;
mod udp;
mod unix;

pub(crate) use io::Io;
pub(crate) use resolve::resolve;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
