//! Servers: a task for each connection.
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::{TcpListener, UnixListener};
use crate::report::ErrorReport;
use crate::running;
use crate::sleep::sleep;
use crate::streams::connect::{from_tcp, from_unix};
use crate::streams::{StreamReader, StreamWriter};
use crate::sync::Event;
use crate::task::{self, Task};

/// How long a server pauses when the system has nothing left to accept a connection with.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that runs until it is closed, or dropped.
pub struct Server {
    accepting: Task<()>,
    closed: Rc<Event>,
    address: Option<SocketAddr>,
}

/// Listens on `port` of `host` (port 0: any free one; no host: this machine only), and calls `serve` for each connection, as a
/// task of its own. An error of such a task is told to the loop's exception handler, a cancellation is not.
///
/// # Errors
/// The system's.
#[track_caller]
pub fn start_server<F, S>(serve: S, host: &str, port: u16) -> impl Future<Output = Result<Server>>
where
    S: Fn(StreamReader, StreamWriter) -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    let (at, bind) = (Location::caller(), TcpListener::bind(host, port));
    async move {
        let listener = bind.await?;
        let address = listener.local_addr().ok();
        let accept = async move || {
            let (stream, _) = listener.accept().await?;
            from_tcp(stream).map_err(io::Error::other)
        };
        start(accept, serve, address, at)
    }
}

/// As [`start_server`], with a Unix socket that is made at `path`.
///
/// # Errors
/// The system's.
#[track_caller]
pub fn start_unix_server<F, S>(serve: S, path: impl AsRef<Path>) -> Result<Server>
where
    S: Fn(StreamReader, StreamWriter) -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    let listener = UnixListener::bind(path)?;
    let accept = async move || from_unix(listener.accept().await?).map_err(io::Error::other);
    start(accept, serve, None, Location::caller())
}

fn start<F, S>(
    accept: impl AsyncFn() -> io::Result<(StreamReader, StreamWriter)> + 'static,
    serve: S,
    address: Option<SocketAddr>,
    at: &'static Location<'static>,
) -> Result<Server>
where
    S: Fn(StreamReader, StreamWriter) -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    let core = running::core()?;
    let closed = Rc::new(Event::new());
    let guard = SetOnDrop(Rc::clone(&closed));
    let spawner = Rc::clone(&core);
    let accepting = async move {
        let _closed = guard;
        loop {
            match accept().await {
                Ok((reader, writer)) => {
                    task::spawn(&spawner, serve(reader, writer), at)?;
                }
                Err(error) if crate::Cancelled::is_in(&error) => return Err(error.into()),
                // Gone before it was accepted: nothing of ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let error = Some(Error::from(error));
                    spawner.report(&ErrorReport::new("a connection could not be accepted", error));
                    sleep(PAUSE).await?;
                }
            }
        }
    };
    let accepting = task::spawn(&core, accepting, at)?.named("server");
    Ok(Server { accepting, closed, address })
}

struct SetOnDrop(Rc<Event>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Server {
    /// The address that it listens on, if it is one of TCP.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Accepts no more connections, and closes the listening socket in the next turn. Those that were accepted go on.
    pub fn close(&self) {
        self.accepting.cancel();
    }

    /// Whether it accepts connections.
    pub fn is_serving(&self) -> bool {
        !self.accepting.is_done() && self.accepting.cancelling() == 0
    }

    /// Waits until the listening socket is closed.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let closed = Rc::clone(&self.closed);
        async move { Ok(closed.wait().await?) }
    }

    /// Serves until the task that waits here is cancelled, which closes the server, or the server is closed.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled).
    #[track_caller]
    pub fn serve_forever(&self) -> impl Future<Output = Result<()>> + '_ {
        let wait = self.wait_closed();
        async move {
            let result = wait.await;
            self.close();
            result
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("serving", &self.is_serving())
            .finish_non_exhaustive()
    }
}
