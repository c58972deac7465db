//! Addresses of a host by its name.
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::Location;

use crate::executor::Executor;
use crate::running;

/// The addresses of `host`, which is asked for in another thread unless it is an address already. Empty: this machine's own.
pub(crate) async fn resolve(
    host: &str,
    port: u16,
    at: &'static Location<'static>,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    let core = running::core().map_err(io::Error::other)?;
    let ask = move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    match Executor::run(&core, ask, at).await {
        Ok(addresses) => addresses,
        Err(error) => Err(match error.downcast_ref::<crate::Cancelled>() {
            Some(cancelled) => cancelled.clone().into(),
            None => io::Error::other(error.to_string()),
        }),
    }
}
