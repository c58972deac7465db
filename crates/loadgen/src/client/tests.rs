//! Servers that answer wrongly are found out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::raw::Server;

const SIZE: usize = 4096;

/// Serves each connection with `behave` on its own thread, until the test's process ends.
fn server(behave: fn(TcpStream)) -> Endpoint {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || behave(stream));
        }
    });
    endpoint
}

fn load(endpoint: Endpoint, connections: usize, size: usize, requests: u64) -> Load {
    Load {
        endpoint,
        connections,
        size,
        amount: Amount::Requests(requests),
        warmup: Duration::ZERO,
        pid: Some(std::process::id()),
        patience: Duration::from_millis(300),
    }
}

fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; SIZE];
    stream.read_exact(&mut message).unwrap();
    message
}

#[test]
fn a_right_server_is_counted_to_the_request() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || Server::new(listener).unwrap().run());
    for (connections, size) in [(1, 1), (7, SIZE), (3, 1 << 20)] {
        let report = run(&load(endpoint.clone(), connections, size, 100)).unwrap();
        assert_eq!(report.requests, 100);
        assert!(report.latency.p50 <= report.latency.p99);
        assert!(report.latency.p99 <= report.latency.max);
        assert!(report.server_cpu.is_some());
    }
}

#[test]
fn a_changed_byte_is_found_with_its_place() {
    let endpoint = server(|mut stream| {
        let first = request(&mut stream);
        stream.write_all(&first).unwrap();
        let mut second = request(&mut stream);
        second[4000] ^= 1;
        stream.write_all(&second).unwrap();
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(
        matches!(failure, Failure::Corrupted { connection: 0, request: 1, offset: 4000 }),
        "{failure}"
    );
}

#[test]
fn the_answer_to_an_earlier_request_is_corrupted() {
    let endpoint = server(|mut stream| {
        let first = request(&mut stream);
        stream.write_all(&first).unwrap();
        request(&mut stream);
        stream.write_all(&first).unwrap();
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(matches!(failure, Failure::Corrupted { request: 1, .. }), "{failure}");
}

#[test]
fn a_short_answer_is_found() {
    let endpoint = server(|mut stream| {
        let message = request(&mut stream);
        stream.write_all(&message[..100]).unwrap();
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(matches!(failure, Failure::Short { received: 100, expected: SIZE, .. }), "{failure}");
}

#[test]
fn a_byte_too_many_is_found() {
    let endpoint = server(|mut stream| {
        let mut message = request(&mut stream);
        message.push(0);
        stream.write_all(&message).unwrap();
        // Keeps the connection open for as long as the client does.
        let _ = stream.read(&mut [0; 1]);
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(matches!(failure, Failure::Unasked { connection: 0, .. }), "{failure}");
}

#[test]
fn a_server_that_withholds_bytes_is_given_up() {
    let endpoint = server(|mut stream| {
        let message = request(&mut stream);
        stream.write_all(&message[1..]).unwrap_or_default();
        let _ = stream.read(&mut [0; 1]);
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(matches!(failure, Failure::Corrupted { offset: 0, .. }), "{failure}");

    let endpoint = server(|mut stream| {
        let message = request(&mut stream);
        stream.write_all(&message[..SIZE - 1]).unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    let failure = run(&load(endpoint, 1, SIZE, 10)).unwrap_err();
    assert!(matches!(failure, Failure::Stalled(_)), "{failure}");
}

#[test]
fn nobody_listening_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    drop(listener);
    let failure = run(&load(endpoint, 1, SIZE, 1)).unwrap_err();
    assert!(matches!(failure, Failure::Io("connect", _)), "{failure}");
}
