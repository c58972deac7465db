//! An echo server on streams, and clients that talk to it, in one thread.
use boros::streams::{StreamReader, StreamWriter, open_connection, start_server};
use boros::{Result, gather};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(());
        }
        writer.write(&line);
        writer.drain().await?;
    }
}

async fn client(name: &str, port: u16) -> Result<Vec<String>> {
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    let mut heard = Vec::new();
    for word in ["hello", "from", name] {
        writer.write(format!("{word}\n").as_bytes());
        let line = reader.readline().await?;
        heard.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    writer.close();
    writer.wait_closed().await?;
    Ok(heard)
}

fn main() -> Result<()> {
    boros::run(async {
        let server = start_server(echo, "127.0.0.1", 0).await?;
        let port = server.local_addr().map_or(0, |address| address.port());
        let clients = ["Ann", "Ben", "Cleo"].map(|name| client(name, port));
        for heard in gather(clients).await? {
            println!("{}", heard.join(" "));
        }
        server.close();
        server.wait_closed().await?;
        println!("closed");
        Ok(())
    })
}
