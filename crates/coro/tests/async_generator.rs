//! Async generators: yields and awaits, steps dropped half-way, and the end that a loop sees to.
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use boros_coro::{
    AsyncGeneratorHooks, BoxAsyncGenerator, Co, Error, MisuseKind, Orphan, State, View,
    async_generator,
};

type Text = &'static str;
type Numbers<'a> = BoxAsyncGenerator<'a, u32, Option<u32>, Text>;
type NumbersCo<'g, 'e> = Co<'g, 'e, u32, Option<u32>, Text>;

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls to the end; what it waits for has to wake it each time.
fn block_on<F: Future>(future: F) -> F::Output {
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut future = pin!(future);
    for polls in 0.. {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        assert!(wakes.0.load(Ordering::Relaxed) > polls, "nothing woke it");
    }
    unreachable!("it is polled until it is ready")
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for one turn.
async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn sums() -> Numbers<'static> {
    async_generator(async |mut co: NumbersCo<'_, '_>| {
        let mut sum = 0;
        loop {
            turn().await;
            match co.yield_(sum).await {
                Ok(value) => sum += value.unwrap_or(1),
                Err(Error::Raised("reset")) => sum = 0,
                Err(error) => {
                    turn().await;
                    return Err(error);
                }
            }
        }
    })
    .boxed()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error<Text>>) -> MisuseKind {
    match result {
        Err(Error::Misuse(misuse)) => misuse.kind(),
        other => panic!("no misuse: {other:?}"),
    }
}

#[test]
fn steps_like_a_coroutine() {
    block_on(async {
        let mut sums = sums();
        assert_eq!(kind(sums.asend(Some(1)).await), MisuseKind::NotStarted);
        assert_eq!(sums.anext().await, Ok(Some(0)));
        assert_eq!(sums.asend(Some(10)).await, Ok(Some(10)));
        assert_eq!(sums.anext().await, Ok(Some(11)));
        assert_eq!(sums.athrow("reset").await, Ok(Some(0)));
        assert_eq!(sums.state(), State::Suspended);
        assert_eq!(sums.athrow("other").await, Err(Error::Raised("other")));
        assert_eq!((sums.state(), sums.anext().await), (State::Closed, Ok(None)));
        assert_eq!(sums.athrow("late").await, Ok(None));
    });
}

#[test]
fn closes_in_every_state() {
    block_on(async {
        let mut fresh = sums();
        assert_eq!((fresh.aclose().await, fresh.state()), (Ok(()), State::Closed));
        let mut waiting = sums();
        assert_eq!(waiting.anext().await, Ok(Some(0)));
        assert_eq!((waiting.aclose().await, waiting.state()), (Ok(()), State::Closed));
        assert_eq!(waiting.aclose().await, Ok(()));
        let mut stubborn: Numbers<'_> = async_generator(async |mut co: NumbersCo<'_, '_>| {
            let _ = co.yield_(1).await;
            co.yield_(2).await.map(drop)
        })
        .boxed();
        assert_eq!(stubborn.anext().await, Ok(Some(1)));
        assert_eq!(kind(stubborn.aclose().await), MisuseKind::IgnoredClose);
    });
}

#[test]
fn a_step_dropped_half_way_is_gone_on_with() {
    let mut sums = sums();
    assert!(poll_once(pin!(sums.anext())).is_pending());
    assert_eq!(sums.state(), State::Suspended);
    assert_eq!(kind(block_on(sums.asend(Some(1)))), MisuseKind::Interrupted);
    assert_eq!(block_on(sums.anext()), Ok(Some(0)));
    assert!(poll_once(pin!(sums.asend(Some(5)))).is_pending());
    // Raised at the next yield: the await that is under way is not the body's own.
    assert_eq!(block_on(sums.athrow("reset")), Ok(Some(0)));
    assert!(poll_once(pin!(sums.anext())).is_pending());
    assert_eq!(block_on(sums.aclose()), Ok(()));
}

#[test]
fn on_the_stack_and_delegating() {
    block_on(async {
        let mut outer = pin!(async_generator::<u32, (), Text, _, _>(async |mut co| {
            let inner = boros_coro::coroutine(async |mut co: Co<'_, '_, u32, (), Text>| {
                turn().await;
                co.yield_(1).await?;
                turn().await;
                co.yield_(2).await?;
                Ok("inner")
            });
            assert_eq!(co.yield_from(inner).await, Ok("inner"));
            co.yield_(3).await
        }));
        let mut got = Vec::new();
        while let Ok(Some(value)) = outer.as_mut().anext().await {
            got.push(value);
        }
        assert_eq!((got, outer.state()), (vec![1, 2, 3], State::Closed));
    });
}

#[test]
fn a_close_goes_through_delegates_that_await() {
    let order = RefCell::new(Vec::new());
    block_on(async {
        let mut outer = pin!(async_generator::<u32, (), Text, _, _>(async |mut co| {
            let inner = boros_coro::coroutine::<u32, (), (), Text, _, _>(async |mut co| {
                let end = co.yield_(1).await;
                turn().await;
                order.borrow_mut().push("inner");
                assert_eq!(end, Err(Error::Exit));
                Ok(())
            });
            let end = co.yield_from(inner).await;
            turn().await;
            order.borrow_mut().push("outer");
            end
        }));
        assert_eq!(outer.as_mut().anext().await, Ok(Some(1)));
        assert_eq!(outer.as_mut().aclose().await, Ok(()));
    });
    assert_eq!(*order.borrow(), ["inner", "outer"]);
}

#[test]
fn steps_are_send_when_the_body_is() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let text = String::from("x");
    let mut body =
        pin!(async_generator::<usize, (), Text, _, _>(async |mut co| co.yield_(text.len()).await));
    assert_eq!(block_on(send(body.as_mut().anext())), Ok(Some(1)));
    assert_eq!(block_on(send(body.as_mut().aclose())), Ok(()));
}

#[derive(Default)]
struct Loop {
    started: Cell<u32>,
    orphans: RefCell<Vec<Orphan>>,
}

impl AsyncGeneratorHooks for Loop {
    fn first_iteration(&self, view: View<'_>) {
        assert_eq!(view.state(), State::Created);
        self.started.set(self.started.get() + 1);
    }

    fn finalize(&self, orphan: Orphan) {
        self.orphans.borrow_mut().push(orphan);
    }
}

#[test]
fn a_loop_ends_what_was_dropped_half_way() {
    let hooks = Rc::new(Loop::default());
    let cleaned = Rc::new(Cell::new(false));
    let clean = Rc::clone(&cleaned);
    let mut body: Numbers<'static> = async_generator(async move |mut co: NumbersCo<'_, '_>| {
        let end = co.yield_(1).await;
        turn().await;
        clean.set(end == Err(Error::Exit));
        Err(Error::Raised("after the end"))
    })
    .boxed()
    .with_hooks(hooks.clone());
    assert_eq!(hooks.started.get(), 0);
    assert_eq!(block_on(body.anext()), Ok(Some(1)));
    assert_eq!(hooks.started.get(), 1);
    drop(body);
    let orphan = hooks.orphans.borrow_mut().pop().expect("it was handed over");
    assert!(orphan.location().is_some_and(|at| at.file().ends_with("async_generator.rs")));
    assert!(orphan.name().contains("a_loop_ends"), "{orphan:?}");
    assert!(!cleaned.get());
    assert_eq!(block_on(orphan), Err(Error::Raised("after the end".to_string())));
    assert!(cleaned.get());
    drop(sums().with_hooks(hooks.clone()));
    assert_eq!((hooks.started.get(), hooks.orphans.borrow().len()), (1, 0));
}
