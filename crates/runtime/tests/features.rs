//! The traits of other crates, and TLS.
#![cfg(all(feature = "hyper", feature = "tls"))]
use std::sync::Arc;
use std::time::Duration;

use boros::net::{TcpListener, TcpStream, UnixStream};
use boros::tls::rustls::pki_types::PrivatePkcs8KeyDer;
use boros::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use boros::{HyperIo, HyperTimer, Result, create_task, gather, running_loop, tls};
use futures_util::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

#[test]
fn codecs_for_futures_work() {
    boros::run(async {
        let (ours, mut theirs) = UnixStream::pair()?;
        let reader = create_task(async move {
            let mut lines = BufReader::new(ours);
            let mut all = String::new();
            while lines.read_line(&mut all).await? > 0 {}
            Ok(all)
        })?;
        for number in 0..3 {
            theirs.write_all(format!("line {number}\n").as_bytes()).await?;
        }
        theirs.close().await?;
        assert_eq!(reader.await?, "line 0\nline 1\nline 2\n");
        Ok(())
    })
    .unwrap();
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(format!("{path}: {} bytes", body.len()).into())))
}

#[test]
fn hyper_serves_and_fetches() {
    boros::run(async {
        let listener = TcpListener::bind("127.0.0.1", 0).await?;
        let port = listener.local_addr()?.port();
        create_task(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                create_task(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    Ok(server.serve_connection(HyperIo::new(stream), service_fn(answer)).await?)
                })?;
            }
            #[allow(unreachable_code)]
            Ok(())
        })?;
        let fetches = (0..5usize).map(|number| async move {
            let stream = TcpStream::connect("127.0.0.1", port).await?;
            let io = HyperIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            let driving = create_task(async move { Ok(connection.await?) })?;
            let mut bodies = Vec::new();
            for size in [0, 20_000 * number] {
                let request = Request::post(format!("/{number}"))
                    .header("host", "localhost")
                    .body(Full::new(Bytes::from(vec![b'x'; size])))?;
                let response = sender.send_request(request).await?;
                bodies.push(response.into_body().collect().await?.to_bytes());
            }
            drop(sender);
            driving.await?;
            Ok(bodies)
        });
        for (number, bodies) in gather(fetches).await?.into_iter().enumerate() {
            assert_eq!(bodies[0], format!("/{number}: 0 bytes"));
            assert_eq!(bodies[1], format!("/{number}: {} bytes", 20_000 * number));
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn hyper_ends_idle_connections_by_the_clock_of_the_loop() {
    boros::run_virtual(async {
        let listener = TcpListener::bind("127.0.0.1", 0).await?;
        let port = listener.local_addr()?.port();
        let serving = create_task(async move {
            let (stream, _) = listener.accept().await?;
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(HyperTimer).header_read_timeout(Duration::from_secs(30));
            let ended = server.serve_connection(HyperIo::new(stream), service_fn(answer)).await;
            Ok(ended.is_err_and(|error| error.is_timeout()))
        })?;
        let start = running_loop()?.time();
        let _silent = TcpStream::connect("127.0.0.1", port).await?;
        assert!(serving.await?);
        assert_eq!(running_loop()?.time().since(start).as_secs(), 30);
        Ok(())
    })
    .unwrap();
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is well made");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is well made");
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("it is well made");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[test]
fn streams_over_tls_carry_bytes_and_end() {
    boros::run(async {
        let (server, client) = configs();
        let listener = TcpListener::bind("127.0.0.1", 0).await?;
        let port = listener.local_addr()?.port();
        let serving = create_task(async move {
            let (stream, _) = listener.accept().await?;
            let (mut reader, writer) = tls::accept(stream, server).await?.into_streams()?;
            let all = reader.read_to_end().await?;
            writer.write(&all);
            writer.close();
            writer.wait_closed().await?;
            Ok(all.len())
        })?;
        let (mut reader, writer) = tls::open_connection("localhost", port, client).await?;
        let sent: Vec<u8> = (0..500_000u32).map(|number| number as u8).collect();
        writer.write(&sent);
        writer.drain().await?;
        writer.write_eof();
        assert!(reader.read_to_end().await? == sent);
        assert_eq!(serving.await?, sent.len());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    boros::run(async {
        let (server, client) = configs();
        let listener = TcpListener::bind("127.0.0.1", 0).await?;
        let port = listener.local_addr()?.port();
        let serving = create_task(async move {
            let (stream, _) = listener.accept().await?;
            Ok(tls::accept(stream, server).await.is_err())
        })?;
        let error = tls::open_connection("127.0.0.1", port, client).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(serving.await?);
        Ok(())
    })
    .unwrap();
}
