//! The least that an echo server on epoll does: read, write what was read, wait.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::failure::Failure;

const BUFFER: usize = 256 * 1024;
const LISTENER: u64 = u64::MAX;

/// Serves for ever; prints the port once it listens.
pub(crate) fn serve(port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(Failure::io("bind"))?;
    listener.set_nonblocking(true).map_err(Failure::io("O_NONBLOCK"))?;
    println!("{}", listener.local_addr().map_err(Failure::io("getsockname"))?.port());
    Server::new(listener)?.run()
}

struct Peer {
    socket: OwnedFd,
    /// What the socket did not take. While it is not empty nothing more is read.
    pending: Vec<u8>,
}

pub(crate) struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    peers: HashMap<u64, Peer>,
    buffer: Box<[u8]>,
}

impl Server {
    pub(crate) fn new(listener: TcpListener) -> Result<Self, Failure> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::errno("epoll_create"))?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)
            .map_err(Failure::errno("epoll_ctl"))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self { epoll, listener, peers: HashMap::new(), buffer })
    }

    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Failure::errno("epoll_wait")(errno)),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    key => self.serve(key)?,
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), Failure> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // The client gave up, or another event took it: nothing is lost.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => return Ok(()),
            Err(error) => return Err(Failure::io("accept")(error)),
        };
        stream.set_nodelay(true).map_err(Failure::io("TCP_NODELAY"))?;
        stream.set_nonblocking(true).map_err(Failure::io("O_NONBLOCK"))?;
        let key = stream.as_raw_fd() as u64;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)
            .map_err(Failure::errno("epoll_ctl"))?;
        self.peers.insert(key, Peer { socket: stream.into(), pending: Vec::new() });
        Ok(())
    }

    fn serve(&mut self, key: u64) -> Result<(), Failure> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let outcome = if peer.pending.is_empty() {
            peer.echo(&mut self.buffer)
        } else {
            let taken = peer.write_pending();
            taken.map(|()| true)
        };
        match outcome {
            Ok(true) => {
                let interest = if peer.pending.is_empty() {
                    epoll::EventFlags::IN
                } else {
                    epoll::EventFlags::OUT
                };
                let data = epoll::EventData::new_u64(key);
                epoll::modify(&self.epoll, &peer.socket, data, interest)
                    .map_err(Failure::errno("epoll_ctl"))
            }
            Ok(false) => Ok(()),
            // The peer is gone; closing the socket takes it out of epoll.
            Err(_) => {
                self.peers.remove(&key);
                Ok(())
            }
        }
    }
}

impl Peer {
    /// One read and one write; answers whether the socket is now to be watched for something else.
    fn echo(&mut self, buffer: &mut [u8]) -> Result<bool, Errno> {
        let count = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Errno::PIPE),
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        let sent = self.write(&buffer[..count])?;
        self.pending.extend_from_slice(&buffer[sent..count]);
        Ok(sent < count)
    }

    fn write_pending(&mut self) -> Result<(), Errno> {
        let pending = std::mem::take(&mut self.pending);
        let sent = self.write(&pending)?;
        self.pending = pending;
        self.pending.drain(..sent);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            result => result,
        }
    }
}
