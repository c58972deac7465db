//! The closed loop: each connection has one request outstanding, never two.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::latency::{Latencies, Summary};
use crate::payload::Payload;
use crate::{clock, cpu};

/// Largest read; also leaves room to see bytes beyond the answer.
const BUFFER: usize = 256 * 1024;

/// When a phase stops sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// After this many requests over all connections.
    Requests(u64),
    /// After this long.
    Time(Duration),
}

/// What is to be sent, and to whom.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: usize,
    /// Bytes per message.
    pub(crate) size: usize,
    pub(crate) amount: Amount,
    /// How long requests are sent before those that count.
    pub(crate) warmup: Duration,
    /// The server's process, if its processor time is wanted.
    pub(crate) pid: Option<u32>,
    /// How long silence is borne.
    pub(crate) patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    connections: usize,
    size: usize,
    requests: u64,
    elapsed: Duration,
    latency: Summary,
    server_cpu: Option<Duration>,
}

impl Report {
    /// One line of JSON; times in nanoseconds unless the name says otherwise.
    pub(crate) fn to_json(&self) -> String {
        let requests = self.requests as f64;
        let per_request = self.server_cpu.map_or_else(
            || "null".to_owned(),
            |used| format!("{:.1}", used.as_nanos() as f64 / requests),
        );
        format!(
            "{{\"connections\": {}, \"size\": {}, \"requests\": {}, \"seconds\": {:.6}, \
             \"requests_per_second\": {:.1}, \"p50\": {}, \"p99\": {}, \"max\": {}, \
             \"server_cpu_per_request\": {}}}",
            self.connections,
            self.size,
            self.requests,
            self.elapsed.as_secs_f64(),
            requests / self.elapsed.as_secs_f64(),
            self.latency.p50,
            self.latency.p99,
            self.latency.max,
            per_request,
        )
    }
}

/// Warms the server up, then measures.
///
/// Half of the warm-up has connections of its own that come and go. A server that has lived that
/// long has holes in its heap; one that has not may give memory back to the kernel and fault it
/// in again with every read, which would say more about the allocator's first moments than about
/// the server. Both marks of the server's processor time are taken while no request is
/// outstanding.
pub(crate) fn run(load: &Load) -> Result<Report, Failure> {
    let warmup = Amount::Time(load.warmup / 2);
    if !load.warmup.is_zero() {
        Client::connect(load)?.phase(warmup)?;
    }
    let mut client = Client::connect(load)?;
    if !load.warmup.is_zero() {
        client.phase(warmup)?;
    }
    let before = load.pid.map(cpu::used_by).transpose().map_err(Failure::io("server's CPU"))?;
    let (latencies, elapsed) = client.phase(load.amount)?;
    let after = load.pid.map(cpu::used_by).transpose().map_err(Failure::io("server's CPU"))?;
    client.expect_silence()?;
    let requests = latencies.len();
    let Some(latency) = latencies.summary() else {
        return Err(Failure::Usage("no request was sent in the time given".into()));
    };
    let server_cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before));
    let (connections, size) = (load.connections, load.size);
    Ok(Report { connections, size, requests, elapsed, latency, server_cpu })
}

/// One connection and its outstanding request.
#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    request: u64,
    /// When the outstanding request was begun; nothing is outstanding without it.
    begun: Option<Instant>,
    sent: usize,
    received: usize,
    /// Whether writability is watched.
    blocked: bool,
}

struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    payload: Payload,
    patience: Duration,
    buffer: Box<[u8]>,
}

impl Client {
    fn connect(load: &Load) -> Result<Self, Failure> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Failure::errno("epoll_create"))?;
        let mut connections = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let socket = load.endpoint.connect(load.patience)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)
                .map_err(Failure::errno("epoll_ctl"))?;
            let (request, begun) = (0, None);
            connections.push(Connection {
                socket,
                request,
                begun,
                sent: 0,
                received: 0,
                blocked: false,
            });
        }
        Ok(Self {
            epoll,
            connections,
            payload: Payload::new(load.size),
            patience: load.patience,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Sends until the amount is reached, then waits for what is outstanding.
    fn phase(&mut self, amount: Amount) -> Result<(Latencies, Duration), Failure> {
        let mut latencies = Latencies::default();
        let begun = clock::now();
        let mut now = begun;
        let mut started = 0_u64;
        let wanted = |started: u64, now: Instant| match amount {
            Amount::Requests(requests) => started < requests,
            Amount::Time(time) => now.duration_since(begun) < time,
        };
        let mut outstanding = 0_usize;
        for index in 0..self.connections.len() {
            if wanted(started, now) {
                started += 1;
                outstanding += 1;
                self.begin(index)?;
            }
        }
        let patience = Timespec::try_from(self.patience)
            .map_err(|_| Failure::Usage("--timeout is too long".into()))?;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        while outstanding > 0 {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
                Ok(0) => return Err(Failure::Stalled(self.patience)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Failure::errno("epoll_wait")(errno)),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let flags = event.flags;
                if flags.contains(epoll::EventFlags::OUT) {
                    self.push(index)?;
                }
                if !flags.intersects(!epoll::EventFlags::OUT) {
                    continue;
                }
                if let Some(latency) = self.pull(index)? {
                    latencies.record(latency);
                    outstanding -= 1;
                    now = clock::now();
                    if wanted(started, now) {
                        started += 1;
                        outstanding += 1;
                        self.begin(index)?;
                    }
                }
            }
        }
        Ok((latencies, now.duration_since(begun)))
    }

    fn begin(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        connection.sent = 0;
        connection.received = 0;
        connection.begun = Some(clock::now());
        self.push(index)
    }

    /// Sends what the socket takes; watches writability while something is left.
    fn push(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let message = self.payload.message(index, connection.request);
        while connection.sent < message.len() {
            let rest = &message[connection.sent..];
            match send(&connection.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => connection.sent += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(Failure::errno("send")(errno)),
            }
        }
        let blocked = connection.sent < message.len();
        if blocked != connection.blocked {
            connection.blocked = blocked;
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, blocked);
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.socket, data, interest)
                .map_err(Failure::errno("epoll_ctl"))?;
        }
        Ok(())
    }

    /// Receives and compares; answers the latency once the answer is whole.
    fn pull(&mut self, index: usize) -> Result<Option<Duration>, Failure> {
        let connection = &mut self.connections[index];
        let request = connection.request;
        let message = self.payload.message(index, request);
        loop {
            let count = match recv(&connection.socket, &mut *self.buffer, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(Failure::errno("recv")(errno)),
            };
            if count == 0 {
                return Err(Failure::Short {
                    connection: index,
                    request,
                    received: connection.received,
                    expected: self.payload.size(),
                });
            }
            // Bytes can only be asked for as far as they have been sent.
            let asked = connection.begun.map_or(0, |_| connection.sent - connection.received);
            if count > asked {
                return Err(Failure::Unasked { connection: index, request });
            }
            let expected = &message[connection.received..connection.received + count];
            let answer = &self.buffer[..count];
            if answer != expected {
                let wrong = answer.iter().zip(expected).position(|(got, want)| got != want);
                let offset = connection.received + wrong.unwrap_or_default();
                return Err(Failure::Corrupted { connection: index, request, offset });
            }
            connection.received += count;
            if connection.received == message.len() {
                connection.request += 1;
                let begun = connection.begun.take();
                return Ok(begun.map(|begun| clock::now().duration_since(begun)));
            }
        }
    }

    /// Makes sure that nothing more than the answers came.
    fn expect_silence(&mut self) -> Result<(), Failure> {
        for index in 0..self.connections.len() {
            self.pull(index)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
