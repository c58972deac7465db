//! Streams.
use std::cell::RefCell;
use std::rc::Rc;

use boros::net::UnixStream;
use boros::streams::{
    IncompleteRead, LimitOverrun, StreamReader, StreamWriter, from_unix, open_connection,
    open_unix_connection, start_server, start_unix_server,
};
use boros::{Result, create_task, gather, running_loop, yield_now};

type Ends = ((StreamReader, StreamWriter), (StreamReader, StreamWriter));

fn pair() -> Result<Ends> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((from_unix(ours)?, from_unix(theirs)?))
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            writer.close();
            return writer.wait_closed().await;
        }
        writer.write(&line);
        writer.drain().await?;
    }
}

#[test]
fn every_way_to_read() {
    boros::run(async {
        let ((mut reader, _keep), (_, writer)) = pair()?;
        writer.write(b"first\nsecond\n12345||rest of");
        writer.write(b" it");
        assert_eq!(reader.readline().await?, b"first\n");
        assert_eq!(reader.read(3).await?, b"sec");
        assert_eq!(reader.readuntil(b"nd\n").await?, b"ond\n");
        assert_eq!(reader.readexactly(4).await?, b"1234");
        assert_eq!(reader.readuntil(b"||").await?, b"5||");
        assert_eq!(reader.read(0).await?, b"");
        assert!(!reader.at_eof());
        writer.close();
        assert_eq!(reader.read_to_end().await?, b"rest of it");
        assert!(reader.at_eof());
        assert_eq!(reader.read(10).await?, b"");
        assert_eq!(reader.readline().await?, b"");
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_early_end_and_a_long_line_have_errors() {
    boros::run(async {
        let ((mut reader, _keep), (_, writer)) = pair()?;
        reader.set_limit(10);
        writer.write(b"a line that is too long\nshort");
        writer.write_eof();
        let error = reader.readline().await.unwrap_err();
        assert!(error.downcast_ref::<LimitOverrun>().unwrap().consumed > 10);
        assert_eq!(reader.readexactly(24).await?, b"a line that is too long\n");
        let error = reader.readexactly(10).await.unwrap_err();
        let incomplete = error.downcast_ref::<IncompleteRead>().unwrap();
        assert_eq!((&*incomplete.partial, incomplete.expected), (&b"short"[..], Some(10)));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_separator_may_come_in_pieces_and_a_cancelled_read_keeps_what_came() {
    boros::run(async {
        let ((reader, _keep), (_, writer)) = pair()?;
        let reader = Rc::new(RefCell::new(Some(reader)));
        let theirs = Rc::clone(&reader);
        let task = create_task(async move {
            let mut reader = theirs.borrow_mut().take().unwrap();
            let met = reader.readuntil(b"\r\n").await.is_err_and(|error| error.is_cancelled());
            let line = reader.readuntil(b"\r\n").await?;
            Ok((met, line))
        })?;
        writer.write(b"begin\r");
        yield_now().await?;
        assert_eq!(task.info().steps, 1);
        task.cancel();
        yield_now().await?;
        writer.write(b"\nmore");
        assert_eq!(task.await?, (true, b"begin\r\n".to_vec()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_answers_many_at_once() {
    boros::run(async {
        let server = start_server(echo, "127.0.0.1", 0).await?;
        let port = server.local_addr().unwrap().port();
        let clients = (0..20).map(|number| async move {
            let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
            for round in 0..5 {
                let line = format!("{number} {round}\n");
                writer.write(line.as_bytes());
                assert_eq!(reader.readline().await?, line.as_bytes());
            }
            writer.close();
            writer.wait_closed().await?;
            Ok(())
        });
        gather(clients).await?;
        assert!(server.is_serving());
        server.close();
        server.wait_closed().await?;
        let refused = open_connection("127.0.0.1", port).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_unix_server_serves_until_it_is_cancelled() {
    let path = std::env::temp_dir().join(format!("boros-streams-{}", std::process::id()));
    let file = path.clone();
    boros::run(async move {
        let theirs = path.clone();
        let serving =
            create_task(async move { start_unix_server(echo, theirs)?.serve_forever().await })?;
        yield_now().await?;
        let (mut reader, writer) = open_unix_connection(&path)?;
        writer.write(b"over unix\n");
        assert_eq!(reader.readline().await?, b"over unix\n");
        serving.cancel();
        assert!(serving.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn writing_a_lot_waits_for_the_reader() {
    boros::run(async {
        let ((mut reader, _keep), (_, writer)) = pair()?;
        let chunk = vec![1; 1 << 20];
        let writing = create_task(async move {
            for _ in 0..4 {
                writer.write(&chunk);
                writer.drain().await?;
            }
            writer.close();
            writer.wait_closed().await
        })?;
        yield_now().await?;
        yield_now().await?;
        assert!(!writing.is_done());
        let names: Vec<_> =
            running_loop()?.all_tasks().iter().map(|task| task.name.to_string()).collect();
        assert!(names.contains(&"stream writer".to_owned()), "{names:?}");
        assert_eq!(reader.read_to_end().await?.len(), 4 << 20);
        writing.await
    })
    .unwrap();
}

#[test]
fn a_writer_whose_reader_is_gone_fails_at_the_drain() {
    boros::run(async {
        let (ours, (_, writer)) = pair()?;
        drop(ours);
        writer.write(b"anybody?");
        yield_now().await?;
        let error = writer.drain().await.unwrap_err();
        assert_eq!(
            error.downcast_ref::<std::io::Error>().unwrap().kind(),
            std::io::ErrorKind::BrokenPipe
        );
        assert!(writer.is_closing());
        Ok(())
    })
    .unwrap();
}
