//! Sockets.
use std::rc::Rc;
use std::time::Duration;

use boros::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use boros::{Cancelled, WaitsFor, create_task, gather, timeout, yield_now};

#[test]
fn tcp_carries_bytes_both_ways() {
    boros::run(async {
        let listener = TcpListener::bind("127.0.0.1", 0).await?;
        let port = listener.local_addr()?.port();
        let server = create_task(async move {
            let (stream, _) = listener.accept().await?;
            let mut buffer = [0; 1024];
            let mut all = 0;
            loop {
                let count = stream.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(all);
                }
                all += count;
                stream.write_all(&buffer[..count]).await?;
            }
        })?;
        let stream = Rc::new(TcpStream::connect("localhost", port).await?);
        // More than the kernel keeps: reading and writing have to take turns.
        let total = 4 << 20;
        let reading = Rc::clone(&stream);
        let reader = create_task(async move {
            let (mut buffer, mut all) = (vec![0; 65536], 0);
            while all < total {
                let count = reading.read(&mut buffer).await?;
                assert!(buffer[..count].iter().all(|byte| *byte == 7));
                all += count;
            }
            Ok(all)
        })?;
        stream.write_all(&vec![7; total]).await?;
        assert_eq!(reader.await?, total);
        stream.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(server.await?, total);
        Ok(())
    })
    .unwrap();
}

#[test]
fn refused_connections_and_unknown_hosts_are_errors() {
    boros::run(async {
        let port = TcpListener::bind("127.0.0.1", 0).await?.local_addr()?.port();
        let error = TcpStream::connect("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(TcpStream::connect("no.such.host.invalid", 1).await.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancelled_read_loses_nothing() {
    boros::run(async {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = Rc::new(theirs);
        let reading = Rc::clone(&theirs);
        let reader = create_task(async move {
            let error = reading.read(&mut [0; 8]).await.unwrap_err();
            assert!(Cancelled::is_in(&error));
            Ok(reading.read(&mut [0; 8]).await?)
        })?;
        yield_now().await?;
        assert!(matches!(reader.info().waits[0].on, WaitsFor::Readable(_)));
        reader.cancel();
        ours.write_all(b"abc").await?;
        assert_eq!(reader.await?, 3);
        let limited = timeout(Duration::from_millis(1), theirs.read(&mut [0; 8])).await;
        assert!(limited.unwrap_err().is::<boros::TimedOut>());
        Ok(())
    })
    .unwrap();
}

#[test]
fn udp_carries_datagrams() {
    boros::run(async {
        let one = UdpSocket::bind("127.0.0.1", 0).await?;
        let other = UdpSocket::bind("127.0.0.1", 0).await?;
        let address = other.local_addr()?;
        let answering = create_task(async move {
            let mut buffer = [0; 64];
            let (count, from) = other.recv_from(&mut buffer).await?;
            other.send_to(&buffer[..count], from).await?;
            Ok(())
        })?;
        one.connect(address)?;
        yield_now().await?;
        one.send(b"datagram").await?;
        let mut buffer = [0; 64];
        let count = one.recv(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"datagram");
        answering.await
    })
    .unwrap();
}

#[test]
fn unix_sockets_accept_and_connect() {
    let path = std::env::temp_dir().join(format!("boros-net-{}", std::process::id()));
    let file = path.clone();
    boros::run(async move {
        let listener = UnixListener::bind(&path)?;
        let server = create_task(async move {
            for _ in 0..3 {
                listener.accept().await?.write_all(b"hello").await?;
            }
            Ok(())
        })?;
        let clients = (0..3).map(|_| {
            let path = path.clone();
            async move {
                let mut buffer = [0; 16];
                Ok(UnixStream::connect(path)?.read(&mut buffer).await?)
            }
        });
        assert_eq!(gather(clients).await?, [5, 5, 5]);
        server.await
    })
    .unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_descriptor_number_that_is_used_again_is_a_new_socket() {
    boros::run(async {
        for round in 0..20u8 {
            let (ours, theirs) = UnixStream::pair()?;
            let reader = create_task(async move {
                let mut byte = [0];
                theirs.read(&mut byte).await?;
                Ok(byte[0])
            })?;
            yield_now().await?;
            ours.write_all(&[round]).await?;
            assert_eq!(reader.await?, round);
        }
        Ok(())
    })
    .unwrap();
}
