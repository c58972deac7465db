//! Fetches pages one after the other, with a thread for each, and on the event loop, from a server that takes its time.
use std::convert::Infallible;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use boros::net::{TcpListener, TcpStream};
use boros::reactor::Clock;
use boros::{Error, HyperIo, Result, create_task, gather, sleep};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

const PAGES: [&str; 6] = ["/", "/about", "/news", "/news/today", "/shop", "/contact"];
const DELAY: Duration = Duration::from_millis(50);

/// A page, after a while.
async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A server that is ending answers at once.
    let _ = sleep(DELAY).await;
    let text = format!("This is {}.", request.uri().path());
    Ok(Response::new(Full::new(text.into())))
}

async fn serve(tell: mpsc::Sender<u16>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1", 0).await?;
    tell.send(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        create_task(async move {
            let server = hyper::server::conn::http1::Builder::new();
            Ok(server.serve_connection(HyperIo::new(stream), service_fn(page)).await?)
        })?;
    }
}

/// As one does without an event loop: blocks until the page is there.
fn fetch_blocking(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

async fn fetch(port: u16, path: &str) -> Result<String> {
    let stream = HyperIo::new(TcpStream::connect("127.0.0.1", port).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    create_task(async move { Ok(connection.await?) })?;
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The pages, and how long they took.
fn timed(fetch_all: impl FnOnce() -> Result<Vec<String>>) -> Result<(Vec<String>, Duration)> {
    let clock = Clock::monotonic();
    let start = clock.now();
    let pages = fetch_all()?;
    Ok((pages, clock.now().since(start)))
}

fn main() -> Result<()> {
    let (tell, told) = mpsc::channel();
    thread::spawn(|| boros::run(serve(tell)));
    let port = told.recv()?;

    let (one_by_one, long) =
        timed(|| PAGES.iter().map(|path| Ok(fetch_blocking(port, path)?)).collect())?;
    let (threads, _) = timed(|| {
        let started = PAGES.map(|path| thread::spawn(move || fetch_blocking(port, path)));
        let joined = started.map(|thread| thread.join().map_err(|_| Error::msg("it panicked")));
        joined.into_iter().map(|page| Ok(page??)).collect()
    })?;
    let (on_the_loop, short) =
        timed(|| boros::run(async move { gather(PAGES.map(|path| fetch(port, path))).await }))?;

    for text in &on_the_loop {
        println!("{text}");
    }
    println!("the same by all ways: {}", one_by_one == threads && threads == on_the_loop);
    println!("one by one took the delays of all pages: {}", long >= DELAY * 6);
    println!("on the loop they passed at once: {}", short < long / 2);
    Ok(())
}
