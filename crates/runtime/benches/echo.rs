//! CPU time of an echo server per request, 1 KiB over 50 TCP connections, on boros, tokio (current_thread) and a raw epoll
//! loop. The server runs in a thread of its own, whose CPU time counts; the client keeps one request under way on each
//! connection. Rounds alternate between the servers.
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use boros::reactor::{Events, Interest, Poller};
use rustix::time::{ClockId, clock_gettime};

const CONNECTIONS: usize = 50;
const SIZE: usize = 1024;
const REQUESTS: usize = 1000;
const ROUNDS: usize = 9;

/// Serves until all clients are gone, sending its address first.
type Serve = fn(TcpListener);

fn main() {
    let servers: [(&str, Serve); 3] =
        [("epoll", epoll), ("tokio", tokio_server), ("boros", boros_server)];
    let mut times = vec![Vec::new(); servers.len()];
    for _ in 0..ROUNDS {
        for (index, (_, serve)) in servers.iter().enumerate() {
            times[index].push(round(*serve));
        }
    }
    for ((name, _), times) in servers.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!(
            "echo 1 KiB x {CONNECTIONS}: {name} {:.2} us of CPU per request (best {:.2}, worst {:.2})",
            times[ROUNDS / 2],
            times[0],
            times[ROUNDS - 1]
        );
    }
}

/// Microseconds of CPU time of the server per request.
fn round(serve: Serve) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (send, receive) = mpsc::channel();
    let server = thread::spawn(move || {
        serve(listener);
        let used = clock_gettime(ClockId::ThreadCPUTime);
        send.send(used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3).expect("it is awaited");
    });
    client(address);
    server.join().expect("the server ends");
    receive.recv().expect("the server tells") / (CONNECTIONS * REQUESTS) as f64
}

fn client(address: SocketAddr) {
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(address).expect("it listens");
            stream.set_nodelay(true).expect("it is open");
            stream
        })
        .collect();
    let message = [42; SIZE];
    let mut answer = [0; SIZE];
    for stream in &mut connections {
        stream.write_all(&message).expect("it echoes");
    }
    for request in 1..=REQUESTS {
        for stream in &mut connections {
            stream.read_exact(&mut answer).expect("it echoes");
            if request < REQUESTS {
                stream.write_all(&message).expect("it echoes");
            }
        }
    }
    assert_eq!(answer, message);
}

fn boros_server(listener: TcpListener) {
    boros::run(async move {
        let listener = boros::net::TcpListener::from_std(listener)?;
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await?;
            tasks.push(boros::create_task(async move {
                let mut buffer = [0; 16 * 1024];
                loop {
                    let count = stream.read(&mut buffer).await?;
                    if count == 0 {
                        return Ok(());
                    }
                    stream.write_all(&buffer[..count]).await?;
                }
            })?);
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
    .expect("it serves");
}

fn tokio_server(listener: TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("it can be made");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        listener.set_nonblocking(true).expect("it is open");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is open");
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            stream.set_nodelay(true).expect("it is open");
            tasks.push(tokio::task::spawn_local(async move {
                let mut buffer = [0; 16 * 1024];
                loop {
                    let count = stream.read(&mut buffer).await.expect("it reads");
                    if count == 0 {
                        return;
                    }
                    stream.write_all(&buffer[..count]).await.expect("it writes");
                }
            }));
        }
        for task in tasks {
            task.await.expect("it serves");
        }
    });
}

fn epoll(listener: TcpListener) {
    let poller = Poller::new().expect("it can be made");
    let mut streams = HashMap::new();
    for _ in 0..CONNECTIONS {
        let (stream, _) = listener.accept().expect("it accepts");
        stream.set_nodelay(true).expect("it is open");
        stream.set_nonblocking(true).expect("it is open");
        let token = stream.as_raw_fd() as u64;
        poller.add(stream.as_raw_fd(), token, Interest::READ).expect("it is open");
        streams.insert(token, stream);
    }
    let (mut events, mut buffer) = (Events::new(), [0; 16 * 1024]);
    while !streams.is_empty() {
        poller.wait(&mut events, None).expect("it waits");
        for event in events.iter() {
            let stream = streams.get_mut(&event.token).expect("it is there");
            match stream.read(&mut buffer) {
                Ok(0) => {
                    streams.remove(&event.token);
                }
                Ok(count) => stream.write_all(&buffer[..count]).expect("it writes"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
}
