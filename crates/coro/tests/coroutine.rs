//! Coroutines: send, throw, close, return values, and their misuses.
use std::fmt;
use std::pin::{Pin, pin};

use boros_coro::Progress::{Returned, Yielded};
use boros_coro::{BoxCoroutine, Error, MisuseKind, Resume, State, Step, coroutine};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bad(u32);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}", self.0)
    }
}

impl std::error::Error for Bad {}

type Echo = BoxCoroutine<'static, u32, u32, &'static str, Bad>;

/// Yields what it is sent; 0 ends it; `Bad(1)` it survives.
fn echo() -> Echo {
    coroutine(async |mut co| {
        let mut last = 100;
        loop {
            match co.yield_(last).await {
                Ok(0) => return Ok("zero"),
                Ok(value) => last = value,
                Err(Error::Raised(Bad(1))) => last = 111,
                Err(other) => return Err(other),
            }
        }
    })
    .boxed()
}

fn kind<T: fmt::Debug, E: fmt::Debug>(result: Result<T, Error<E>>) -> MisuseKind {
    match result {
        Err(Error::Misuse(misuse)) => misuse.kind(),
        other => panic!("no misuse: {other:?}"),
    }
}

#[test]
fn sends_and_returns() {
    let mut echo = echo();
    assert_eq!(echo.start(), Ok(Yielded(100)));
    assert_eq!(echo.send(5), Ok(Yielded(5)));
    assert_eq!(echo.send(0), Ok(Returned("zero")));
    assert_eq!(echo.state(), State::Closed);
    assert_eq!(kind(echo.send(1)), MisuseKind::Exhausted);
    assert_eq!(kind(echo.start()), MisuseKind::Exhausted);
}

#[test]
fn throw_raises_at_the_yield() {
    let mut echo = echo();
    assert_eq!(echo.start(), Ok(Yielded(100)));
    assert_eq!(echo.throw(Bad(1)), Ok(Yielded(111)));
    assert_eq!(echo.throw(Bad(2)), Err(Error::Raised(Bad(2))));
    assert_eq!(echo.state(), State::Closed);
    assert_eq!(echo.throw(Bad(3)), Err(Error::Raised(Bad(3))));
}

#[test]
fn thrown_before_the_start_it_closes() {
    let mut echo = echo();
    assert_eq!(echo.throw(Bad(1)), Err(Error::Raised(Bad(1))));
    assert_eq!(echo.state(), State::Closed);
}

#[test]
fn close_in_every_state() {
    let mut fresh = echo();
    assert_eq!((fresh.close(), fresh.state()), (Ok(None), State::Closed));
    assert_eq!(fresh.close(), Ok(None));
    let mut waiting = echo();
    assert!(waiting.start().is_ok());
    assert_eq!((waiting.close(), waiting.state()), (Ok(None), State::Closed));
}

#[test]
fn close_gives_what_the_body_returns_or_raises() {
    let body = |answer: Result<u8, Error<Bad>>| {
        let mut body: BoxCoroutine<'_, (), (), u8, Bad> = coroutine(async move |mut co| {
            assert_eq!(co.yield_(()).await, Err(Error::Exit));
            answer
        })
        .boxed();
        assert_eq!(body.next(), Ok(Yielded(())));
        body.close()
    };
    assert_eq!(body(Ok(7)), Ok(Some(7)));
    assert_eq!(body(Err(Error::Exit)), Ok(None));
    assert_eq!(body(Err(Error::Raised(Bad(9)))), Err(Error::Raised(Bad(9))));
}

#[test]
fn an_ignored_close_is_an_error_and_leaves_it_suspended() {
    let mut stubborn: BoxCoroutine<'_, u32> = coroutine(async |mut co| {
        let _ = co.yield_(1).await;
        let _ = co.yield_(2).await;
        Ok(())
    })
    .boxed();
    assert_eq!(stubborn.next(), Ok(Yielded(1)));
    assert_eq!(kind(stubborn.close()), MisuseKind::IgnoredClose);
    assert_eq!(stubborn.state(), State::Suspended);
    assert_eq!(stubborn.close(), Ok(Some(())));
}

#[test]
fn a_value_for_a_new_one_and_a_second_start_are_refused() {
    let mut echo = echo();
    assert_eq!(kind(echo.send(1)), MisuseKind::NotStarted);
    assert_eq!(echo.state(), State::Created);
    assert_eq!(echo.start(), Ok(Yielded(100)));
    assert_eq!(kind(echo.start()), MisuseKind::AlreadyStarted);
    assert_eq!(echo.send(3), Ok(Yielded(3)));
}

#[test]
fn next_sends_nothing() {
    let mut seen: BoxCoroutine<'_, Option<u8>, Option<u8>> = coroutine(async |mut co| {
        let mut last = None;
        loop {
            last = co.yield_(last).await?;
        }
    })
    .boxed();
    assert_eq!(seen.next(), Ok(Yielded(None)));
    assert_eq!(seen.send(Some(4)), Ok(Yielded(Some(4))));
    assert_eq!(seen.next(), Ok(Yielded(None)));
}

#[test]
fn on_the_stack() {
    let mut body = pin!(coroutine::<u8, Option<u8>, u8, Bad, _, _>(async |mut co| {
        let first = co.yield_(1).await?;
        Ok(first.unwrap_or(0) + 1)
    }));
    assert_eq!(body.as_mut().next(), Ok(Yielded(1)));
    assert_eq!(body.as_mut().send(Some(41)), Ok(Returned(42)));
    assert_eq!(body.state(), State::Closed);
}

#[test]
fn a_thrown_error_waits_for_a_yield() {
    struct Once(bool);
    impl std::future::Future for Once {
        type Output = ();
        fn poll(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        }
    }
    let mut body: BoxCoroutine<'_, u8, (), &str, Bad> = coroutine(async |mut co| {
        co.yield_(1).await?;
        Once(false).await;
        match co.yield_(2).await {
            Err(Error::Raised(Bad(5))) => Ok("raised at the next yield"),
            other => panic!("{other:?}"),
        }
    })
    .boxed();
    assert_eq!(body.next(), Ok(Yielded(1)));
    assert_eq!(kind(body.next()), MisuseKind::Stalled);
    assert_eq!(body.throw(Bad(5)), Ok(Returned("raised at the next yield")));
}

type Object =
    Pin<Box<dyn Step<Yield = Option<u8>, Send = Option<u8>, Return = (), Error = Error<Bad>>>>;

#[test]
fn stepped_as_an_object() {
    let mut object: Object = Box::pin(coroutine(async |mut co| {
        let got = co.yield_(None).await?;
        co.yield_(got).await?;
        Ok(())
    }));
    assert_eq!(object.as_mut().step(Resume::Send(None)), Ok(Yielded(None)));
    assert_eq!(object.as_mut().step(Resume::Send(Some(1))), Ok(Yielded(Some(1))));
    assert_eq!(object.view().state(), State::Suspended);
    assert_eq!(
        object.as_mut().step(Resume::Throw(Error::Raised(Bad(1)))),
        Err(Error::Raised(Bad(1)))
    );
    assert_eq!(object.as_mut().close(), Ok(None));
}

#[test]
fn errors_have_texts_and_sources() {
    let raised = Error::Raised(Bad(4));
    assert_eq!(raised.to_string(), "bad 4");
    assert!(std::error::Error::source(&raised).is_some());
    assert_eq!(Error::<Bad>::Exit.to_string(), "the coroutine was asked to end");
    let mut echo = echo();
    let text = echo.send(1).expect_err("not started").to_string();
    assert_eq!(
        text,
        "a value was sent to a coroutine that has not started: call start() or next() first"
    );
}
