//! The loop's own life: calls, timers, threads, descriptors, signals, closing.
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use boros::{Error, EventLoop, InvalidState, Panicked, Result, running_loop, sleep};

type Log<T> = Rc<RefCell<Vec<T>>>;

fn state(error: &Error) -> Option<InvalidState> {
    error.downcast_ref().copied()
}

#[test]
fn calls_come_in_order_and_cancelled_ones_do_not_come() {
    let event_loop = EventLoop::virtual_time().unwrap();
    let log: Log<&str> = Log::default();
    let note = |text| {
        let log = Rc::clone(&log);
        move || log.borrow_mut().push(text)
    };
    event_loop.call_later(Duration::from_secs(2), note("two"));
    event_loop.call_later(Duration::from_secs(1), note("one"));
    let dead = event_loop.call_later(Duration::from_secs(1), note("dead"));
    event_loop.call_soon(note("soon"));
    let gone = event_loop.call_soon(note("gone"));
    event_loop.call_soon(note("soon after"));
    gone.cancel();
    dead.cancel();
    assert!(gone.is_cancelled() && dead.is_cancelled());
    let handle = event_loop.handle();
    event_loop.call_later(Duration::from_secs(3), move || handle.stop());
    let before = event_loop.time();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["soon", "soon after", "one", "two"]);
    assert_eq!(event_loop.time().since(before), Duration::from_secs(3));
}

#[test]
fn a_stopped_loop_goes_on_where_it_was() {
    let event_loop = EventLoop::virtual_time().unwrap();
    let handle = event_loop.handle();
    let task = event_loop
        .create_task(async move {
            handle.stop();
            sleep(Duration::from_secs(1)).await?;
            Ok(7)
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert!(!task.is_done() && !event_loop.is_running());
    assert_eq!(event_loop.run_until_complete(async move { task.await }).unwrap(), 7);
}

#[test]
fn a_loop_that_is_stopped_early_says_so() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(async move {
        handle.stop();
        sleep(Duration::from_secs(60)).await?;
        Ok(())
    });
    assert_eq!(state(&result.unwrap_err()), Some(InvalidState::Stopped));
}

#[test]
fn misuse_has_names() {
    assert_eq!(running_loop().unwrap_err(), InvalidState::NoLoop);
    let event_loop = EventLoop::new().unwrap();
    let inner = EventLoop::new().unwrap();
    let nested = event_loop.run_until_complete(async move { inner.run_forever() });
    assert_eq!(state(&nested.unwrap_err()), Some(InvalidState::OtherLoop));
    let remote = event_loop.remote();
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    assert!(event_loop.is_closed());
    assert_eq!(state(&event_loop.run_forever().unwrap_err()), Some(InvalidState::Closed));
    assert_eq!(event_loop.create_task(async { Ok(()) }).unwrap_err(), InvalidState::Closed);
    assert_eq!(remote.call_soon_threadsafe(|| ()).unwrap_err(), InvalidState::Closed);
}

#[test]
fn closing_drops_tasks_where_they_wait() {
    struct Noted(Rc<Cell<bool>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let dropped = Rc::new(Cell::new(false));
    let noted = Noted(Rc::clone(&dropped));
    let task = event_loop
        .create_task(async move {
            sleep(Duration::from_secs(60)).await?;
            drop(noted);
            Ok(())
        })
        .unwrap();
    event_loop.run_until_complete(async { Ok(()) }).unwrap();
    assert!(!dropped.get());
    drop(event_loop);
    assert!(dropped.get() && task.is_cancelled());
}

#[test]
fn other_threads_call_in_and_wake_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let future = event_loop.create_future::<u32>();
    let remote = event_loop.remote();
    let handle = event_loop.handle();
    let sum = event_loop
        .run_until_complete(async move {
            let slot = std::sync::Arc::new(std::sync::Mutex::new(0));
            let seen = std::sync::Arc::clone(&slot);
            let thread = std::thread::spawn(move || {
                for number in 1..=100 {
                    let slot = std::sync::Arc::clone(&slot);
                    remote.call_soon_threadsafe(move || *slot.lock().unwrap() += number).unwrap();
                }
            });
            handle.run_in_executor(move || thread.join().unwrap()).await?;
            let sum = *seen.lock().unwrap();
            future.set_result(sum)?;
            future.await
        })
        .unwrap();
    assert_eq!(sum, 5050);
}

#[test]
fn functions_in_threads_answer_and_panic() {
    boros::run(async {
        let handle = running_loop()?;
        let here = std::thread::current().id();
        let there = handle.run_in_executor(|| std::thread::current().id()).await?;
        assert_ne!(here, there);
        let error = handle.run_in_executor(|| panic!("deliberate")).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Panicked>().unwrap().0, "deliberate");
        Ok(())
    })
    .unwrap();
}

#[test]
fn virtual_time_stands_while_a_thread_works() {
    boros::run_virtual(async {
        let handle = running_loop()?;
        let before = handle.time();
        handle.create_task(async {
            sleep(Duration::from_secs(3600)).await?;
            Ok(())
        })?;
        let (mut ours, mut theirs) = UnixStream::pair()?;
        let work = handle.run_in_executor(move || theirs.read_exact(&mut [0; 1]));
        handle.call_soon(move || ours.write_all(b"x").unwrap());
        work.await??;
        assert_eq!(handle.time(), before);
        Ok(())
    })
    .unwrap();
}

#[test]
fn readers_and_writers_are_called_until_they_are_removed() {
    let event_loop = EventLoop::new().unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let fd = theirs.as_raw_fd();
    let log: Log<u8> = Log::default();
    let (handle, seen) = (event_loop.handle(), Rc::clone(&log));
    let mut reader = theirs.try_clone().unwrap();
    event_loop
        .add_reader(fd, move || {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            seen.borrow_mut().push(byte[0]);
            if byte[0] == 3 {
                assert!(handle.remove_reader(fd));
                handle.stop();
            }
        })
        .unwrap();
    let (handle, next) = (event_loop.handle(), Cell::new(1));
    event_loop
        .add_writer(fd, move || {
            ours.write_all(&[next.get()]).unwrap();
            next.set(next.get() + 1);
            if next.get() > 3 {
                handle.remove_writer(fd);
            }
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), [1, 2, 3]);
    assert!(!event_loop.remove_reader(fd));
    assert!(event_loop.add_reader(-1, || ()).is_err());
}

#[test]
fn signals_are_handled_in_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    let signal = signal_hook::consts::SIGUSR1;
    event_loop
        .add_signal_handler(signal, move || {
            seen.set(seen.get() + 1);
            handle.stop();
        })
        .unwrap();
    event_loop.call_soon(move || signal_hook::low_level::raise(signal).unwrap());
    event_loop.run_forever().unwrap();
    assert_eq!(count.get(), 1);
    assert!(event_loop.remove_signal_handler(signal));
    assert!(!event_loop.remove_signal_handler(signal));
    assert!(event_loop.add_signal_handler(signal_hook::consts::SIGKILL, || ()).is_err());
}

#[test]
fn errors_that_nobody_waits_for_are_reported() {
    let log: Log<String> = Log::default();
    let seen = Rc::clone(&log);
    boros::run(async move {
        let handle = running_loop()?;
        handle.set_exception_handler(move |report| seen.borrow_mut().push(report.to_string()));
        handle.call_soon(|| panic!("in a call"));
        let lost = handle.create_task(async { Result::<()>::Err(Error::msg("lost")) })?;
        lost.set_name("loser");
        drop(lost);
        let heard = handle.create_task(async { Result::<()>::Err(Error::msg("heard")) })?;
        assert_eq!(heard.await.unwrap_err().to_string(), "heard");
        Ok(())
    })
    .unwrap();
    let mut log = log.take();
    log.sort();
    assert_eq!(
        log,
        ["a callback: panicked: in a call", "loser: a task's error was never retrieved: lost"]
    );
}
