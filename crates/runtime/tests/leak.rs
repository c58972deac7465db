//! A loop that has ended leaves nothing behind: no descriptor, and nothing that its tasks owned. Alone in its process, since
//! descriptors are counted.
use std::rc::{Rc, Weak};
use std::time::Duration;

use boros::net::{TcpListener, TcpStream};
use boros::streams::{StreamReader, StreamWriter, open_connection, start_server};
use boros::sync::{Event, Queue};
use boros::{
    EventLoop, Result, create_task, gather, running_loop, shield, sleep, task_group, timeout,
    yield_now,
};

const LONG: Duration = Duration::from_secs(3600);

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let line = reader.readline().await?;
    writer.write(&line);
    sleep(LONG).await?;
    Ok(())
}

/// A bit of everything, left where it is.
async fn work(owned: Rc<()>) -> Result<()> {
    let handle = running_loop()?;
    let server = start_server(echo, "127.0.0.1", 0).await?;
    let port = server.local_addr().map_or(0, |address| address.port());
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    writer.write(b"line\n");
    assert_eq!(reader.readline().await?, b"line\n");
    let (event, queue) = (Rc::new(Event::new()), Rc::new(Queue::<Rc<()>>::new(1)));
    queue.put(Rc::clone(&owned)).await?;
    let future = handle.create_future::<()>();
    let (waiting, mine) = (Rc::clone(&event), Rc::clone(&owned));
    create_task(async move {
        waiting.wait().await?;
        drop(mine);
        Ok(())
    })?;
    let (full, mine) = (Rc::clone(&queue), Rc::clone(&owned));
    let putting = create_task(async move { full.put(mine).await })?;
    create_task(async move { gather([putting]).await })?;
    let mine = Rc::clone(&owned);
    create_task(shield(async move {
        sleep(LONG).await?;
        drop(mine);
        Ok(())
    }))?;
    let (mine, awaited) = (Rc::clone(&owned), future.clone());
    create_task(task_group(async move |group| {
        group.create_task(async move {
            let _mine = mine;
            awaited.await
        })?;
        Ok(())
    }))?;
    let mine = Rc::clone(&owned);
    future.add_done_callback(move |_| drop(mine));
    let (never, mine) = (handle.create_future::<()>(), Rc::clone(&owned));
    never.add_done_callback(move |_| drop(mine));
    let mine = Rc::clone(&owned);
    handle.call_later(LONG, move || drop(mine));
    handle.run_in_executor(|| ()).await?;
    handle.add_signal_handler(signal_hook::consts::SIGUSR2, move || {
        let _ = &owned;
    })?;
    let listener = TcpListener::bind("127.0.0.1", 0).await?;
    let silent = TcpStream::connect_addr(listener.local_addr()?).await?;
    let limited = timeout(Duration::from_millis(1), silent.read(&mut [0; 1])).await;
    assert!(limited.is_err());
    yield_now().await?;
    Ok(())
}

fn once(graceful: bool) -> Weak<()> {
    let owned = Rc::new(());
    let left = Rc::downgrade(&owned);
    if graceful {
        boros::run(work(owned)).expect("it ends well");
    } else {
        // Closed with everything still under way.
        let event_loop = EventLoop::new().expect("it can be made");
        event_loop.run_until_complete(work(owned)).expect("it ends well");
    }
    left
}

#[test]
fn a_loop_that_has_ended_leaves_nothing_behind() {
    let before = descriptors();
    for round in 0..20 {
        let left = once(round % 2 == 0);
        assert_eq!(left.strong_count(), 0, "in round {round}");
    }
    // The signal's own pipe to the thread of the handlers may be there from the first time on.
    assert!(descriptors() <= before + 2, "{} descriptors, {before} before", descriptors());
}
