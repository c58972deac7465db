//! `yield from`: what passes through, what ends where, how deep it goes, and what may not break it.
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use boros_coro::Progress::{Returned, Yielded};
use boros_coro::{
    BoxCoroutine, BoxGenerator, Co, Error, MisuseKind, State, Yielder, coroutine, generator,
};

type Text = &'static str;
type Talk<'a> = BoxCoroutine<'a, String, Option<u32>, Text, Text>;
type TalkCo<'g, 'e> = Co<'g, 'e, String, Option<u32>, Text>;

/// Yields what it is sent, in words; ends when sent 0.
fn talk(name: &'static str) -> Talk<'static> {
    coroutine(async move |mut co: TalkCo<'_, '_>| {
        let mut said = format!("{name} begins");
        loop {
            said = match co.yield_(said).await {
                Ok(Some(0)) => return Ok(name),
                Ok(value) => format!("{name} got {value:?}"),
                Err(Error::Raised("soft")) => format!("{name} caught it"),
                Err(error) => return Err(error),
            };
        }
    })
    .boxed()
}

fn said<R: fmt::Debug>(text: &str) -> Result<boros_coro::Progress<String, R>, Error<Text>> {
    Ok(Yielded(text.to_string()))
}

#[test]
fn passes_everything_through_and_gives_the_return_value() {
    let mut outer: Talk<'_> = coroutine(async |mut co: TalkCo<'_, '_>| {
        let first = co.yield_from(talk("first")).await?;
        let second = co.yield_from(talk("second")).await;
        co.yield_(format!("{first}, then {second:?}")).await?;
        Ok("all")
    })
    .boxed();
    assert_eq!(outer.next(), said("first begins"));
    assert_eq!(outer.send(Some(3)), said("first got Some(3)"));
    assert_eq!(outer.throw("soft"), said("first caught it"));
    assert_eq!(outer.send(Some(0)), said("second begins"));
    assert_eq!(outer.throw("hard"), said("first, then Err(Raised(\"hard\"))"));
    assert_eq!(outer.next(), Ok(Returned("all")));
}

#[test]
fn close_ends_the_innermost_first() {
    let order = Rc::new(RefCell::new(Vec::new()));
    fn level(depth: u32, order: Rc<RefCell<Vec<u32>>>) -> BoxCoroutine<'static, u32> {
        coroutine(async move |mut co: Co<'_, '_, u32>| {
            let end = if depth == 0 {
                co.yield_(0).await
            } else {
                co.yield_from(level(depth - 1, Rc::clone(&order))).await
            };
            order.borrow_mut().push(depth);
            end
        })
        .boxed()
    }
    let mut root = level(3, Rc::clone(&order));
    assert_eq!(root.next(), Ok(Yielded(0)));
    assert_eq!(root.close(), Ok(None));
    assert_eq!(*order.borrow(), [0, 1, 2, 3]);
    let mut thrown = level(2, Rc::clone(&order));
    assert_eq!(thrown.next(), Ok(Yielded(0)));
    assert_eq!(thrown.throw(Error::Exit), Err(Error::Exit));
    assert_eq!(thrown.state(), State::Closed);
}

#[test]
fn a_delegate_that_returns_when_closed_still_ends_its_parent() {
    let mut root: BoxCoroutine<'_, u8, (), Text, Text> =
        coroutine(async |mut co: Co<'_, '_, u8, (), Text>| {
            let child = coroutine::<u8, (), Text, Text, _, _>(async |mut co| {
                assert_eq!(co.yield_(1).await, Err(Error::Exit));
                Ok("returned by the child")
            });
            let got = co.yield_from(child).await;
            assert_eq!(got, Err(Error::Exit));
            Ok("returned by the root")
        })
        .boxed();
    assert_eq!(root.next(), Ok(Yielded(1)));
    assert_eq!(root.close(), Ok(Some("returned by the root")));
}

#[test]
fn an_ignored_close_is_raised_in_the_parent() {
    let mut root: BoxCoroutine<'_, u8> = coroutine(async |mut co: Co<'_, '_, u8>| {
        let child: BoxCoroutine<'_, u8> = coroutine(async |mut co: Co<'_, '_, u8>| {
            let grandchild: BoxCoroutine<'_, u8> = coroutine(async |mut co: Co<'_, '_, u8>| {
                let _ = co.yield_(1).await;
                co.yield_(2).await
            })
            .boxed();
            co.yield_from(grandchild).await
        })
        .boxed();
        match co.yield_from(child).await {
            Err(Error::Misuse(misuse)) => assert_eq!(misuse.kind(), MisuseKind::IgnoredClose),
            other => panic!("{other:?}"),
        }
        co.yield_(3).await
    })
    .boxed();
    assert_eq!(root.next(), Ok(Yielded(1)));
    // Thrown, not closed: the root itself may yield again.
    assert_eq!(root.throw(Error::Exit), Ok(Yielded(3)));
    assert_eq!(root.close(), Ok(None));
}

#[test]
fn a_delegate_that_has_started_goes_on_where_it_was() {
    let mut inner = talk("inner");
    assert_eq!(inner.next(), said("inner begins"));
    let mut outer: Talk<'_> =
        coroutine(async |mut co: TalkCo<'_, '_>| co.yield_from_with(inner, Some(8)).await).boxed();
    assert_eq!(outer.next(), said("inner got Some(8)"));
    assert_eq!(outer.send(Some(0)), Ok(Returned("inner")));
}

#[test]
fn a_chain_can_be_delegated_to() {
    let mut chain: BoxGenerator<'_, u32> = generator(async |mut co: Yielder<'_, '_, u32>| {
        co.yield_from(generator(async |mut co: Yielder<'_, '_, u32>| {
            co.yield_all(0..4).await;
        }))
        .await;
        co.yield_(10).await;
    })
    .boxed();
    assert_eq!(chain.next(), Some(0));
    assert_eq!(chain.next(), Some(1));
    let outer = generator(async |mut co: Yielder<'_, '_, u32>| {
        assert_eq!(co.yield_from(chain).await, Some(()));
        co.yield_(20).await;
    })
    .boxed();
    assert_eq!(outer.collect::<Vec<_>>(), [2, 3, 10, 20]);
}

#[test]
fn what_cannot_be_delegated_to_says_so() {
    fn outcome(make: impl Fn() -> Talk<'static>, first: Option<Option<u32>>) -> MisuseKind {
        let inner = make();
        let mut outer: Talk<'_> = coroutine(async |mut co: TalkCo<'_, '_>| match first {
            None => co.yield_from(inner).await,
            Some(value) => co.yield_from_with(inner, value).await,
        })
        .boxed();
        match outer.next() {
            Err(Error::Misuse(misuse)) => misuse.kind(),
            other => panic!("{other:?}"),
        }
    }
    let started = || {
        let mut talk = talk("x");
        talk.next().expect("it yields");
        talk
    };
    let closed = || {
        let mut talk = talk("x");
        talk.close().expect("it ends");
        talk
    };
    assert_eq!(outcome(started, None), MisuseKind::AlreadyStarted);
    assert_eq!(outcome(closed, None), MisuseKind::Exhausted);
    assert_eq!(outcome(|| talk("x"), Some(Some(1))), MisuseKind::NotStarted);
    let mut over = generator(async |_: Yielder<'_, '_, u8>| ()).boxed();
    over.close();
    let outer =
        generator(async |mut co: Yielder<'_, '_, u8>| assert_eq!(co.yield_from(over).await, None))
            .boxed();
    assert_eq!(outer.count(), 0);
}

#[test]
fn iterators_cannot_receive() {
    let make = || -> BoxCoroutine<'_, u32, Option<u32>, (), Text> {
        coroutine(async |mut co: Co<'_, '_, u32, Option<u32>, Text>| co.yield_all([1, 2, 3]).await)
            .boxed()
    };
    let mut nexts = make();
    assert_eq!(nexts.next(), Ok(Yielded(1)));
    assert_eq!(nexts.send(None), Ok(Yielded(2)));
    match nexts.send(Some(5)) {
        Err(Error::Misuse(misuse)) => assert_eq!(misuse.kind(), MisuseKind::SentToIterator),
        other => panic!("{other:?}"),
    }
    let mut thrown = make();
    assert_eq!(thrown.next(), Ok(Yielded(1)));
    assert_eq!(thrown.throw("hard"), Err(Error::Raised("hard")));
}

#[test]
fn a_delegate_that_stays_the_bodys() {
    let mut outer: Talk<'_> = coroutine(async |mut co: TalkCo<'_, '_>| {
        let names = [String::from("near")];
        let mut inner =
            pin!(coroutine::<String, Option<u32>, usize, Text, _, _>(async |mut co| {
                let got = co.yield_(names[0].clone()).await?;
                co.yield_(format!("{} {got:?}", names[0])).await?;
                Ok(names.len())
            }));
        let count = co.yield_from_ref(inner.as_mut()).await?;
        assert_eq!((count, inner.state()), (1, State::Closed));
        Ok("end")
    })
    .boxed();
    assert_eq!(outer.next(), said("near"));
    assert_eq!(outer.send(Some(2)), said("near Some(2)"));
    assert_eq!(outer.next(), Ok(Returned("end")));
}

fn ladder(depth: u32) -> BoxGenerator<'static, u32> {
    generator(async move |mut co| {
        if depth > 0 {
            co.yield_from(ladder(depth - 1)).await;
        }
        co.yield_(depth).await;
    })
    .boxed()
}

const DEEP: u32 = if cfg!(miri) { 300 } else { 100_000 };

#[test]
fn deep_chains_run_and_unwind_without_stack() {
    assert_eq!(ladder(DEEP).map(u64::from).sum::<u64>(), u64::from(DEEP) * u64::from(DEEP + 1) / 2);
}

#[test]
fn deep_chains_are_dropped_closed_and_delegated_to_without_stack() {
    let mut dropped = ladder(DEEP);
    assert_eq!(dropped.next(), Some(0));
    drop(dropped);
    let mut closed = ladder(DEEP);
    assert_eq!(closed.next(), Some(0));
    closed.close();
    let mut inner = ladder(DEEP);
    assert_eq!(inner.next(), Some(0));
    let mut outer = generator(async |mut co: Yielder<'_, '_, u32>| {
        co.yield_from(inner).await;
    })
    .boxed();
    assert_eq!(outer.next(), Some(1));
    assert!(format!("{outer:?}").len() < 1000);
}

#[test]
fn deep_errors_come_up() {
    fn level(depth: u32) -> BoxCoroutine<'static, u32, (), u32, Text> {
        coroutine(async move |mut co: Co<'_, '_, u32, (), Text>| {
            if depth == 0 {
                co.yield_(0).await?;
                return Ok(0);
            }
            Ok(co.yield_from(level(depth - 1)).await? + 1)
        })
        .boxed()
    }
    let mut root = level(DEEP);
    assert_eq!(root.next(), Ok(Yielded(0)));
    assert_eq!(root.throw("from above"), Err(Error::Raised("from above")));
    let mut root = level(DEEP);
    assert_eq!(root.next(), Ok(Yielded(0)));
    assert_eq!(root.next(), Ok(Returned(DEEP)));
    let mut root = level(DEEP);
    assert_eq!(root.next(), Ok(Yielded(0)));
    assert_eq!(root.close(), Ok(None));
}

#[test]
fn a_panic_closes_the_whole_chain() {
    let held = Rc::new(());
    fn level(depth: u32, held: Rc<()>) -> BoxGenerator<'static, u32> {
        generator(async move |mut co: Yielder<'_, '_, u32>| {
            let held = held;
            if depth == 0 {
                co.yield_(0).await;
                panic!("at the bottom");
            }
            co.yield_from(level(depth - 1, Rc::clone(&held))).await;
        })
        .boxed()
    }
    let mut root = level(5, Rc::clone(&held));
    assert_eq!(root.next(), Some(0));
    assert_eq!(Rc::strong_count(&held), 7);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| root.next()));
    assert!(caught.is_err());
    assert_eq!((Rc::strong_count(&held), root.state(), root.next()), (1, State::Closed, None));
}

#[test]
fn a_panicking_destructor_does_not_stop_the_others() {
    struct Noisy {
        _held: Rc<()>,
        panics: bool,
    }
    impl Drop for Noisy {
        fn drop(&mut self) {
            assert!(!self.panics, "in a destructor");
        }
    }
    let held = Rc::new(());
    fn level(depth: u32, held: Rc<()>) -> BoxGenerator<'static, u32> {
        generator(async move |mut co: Yielder<'_, '_, u32>| {
            let _noisy = Noisy { _held: Rc::clone(&held), panics: depth == 1 };
            if depth == 0 {
                co.yield_(0).await;
            } else {
                co.yield_from(level(depth - 1, held)).await;
            }
        })
        .boxed()
    }
    let mut root = level(4, Rc::clone(&held));
    assert_eq!(root.next(), Some(0));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(root)));
    assert!(caught.is_err());
    assert_eq!(Rc::strong_count(&held), 1);
}

/// Polls a future once, whatever comes of it.
async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(move |cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn a_cancelled_delegation_is_as_if_it_had_not_been() {
    let outer = generator(async |mut co: Yielder<'_, '_, u32>| {
        {
            let mut cancelled = pin!(co.yield_from(ladder(3)));
            assert!(poll_once(cancelled.as_mut()).await.is_none());
        }
        co.yield_(50).await;
        {
            let mut cancelled = pin!(co.yield_(51));
            assert!(poll_once(cancelled.as_mut()).await.is_none());
        }
        co.yield_(52).await;
    })
    .boxed();
    assert_eq!(outer.collect::<Vec<_>>(), [50, 52]);
}

#[test]
fn a_leaked_delegation_runs_only_what_outlives_the_body() {
    // The future is pinned, polled, and forgotten: the driver may go on with the delegate, which by its type borrows
    // nothing that the body could have dropped.
    let words = [String::from("from outside")];
    let mut outer = generator(async |mut co: Yielder<'_, '_, &str>| {
        let delegate = generator(async |mut co: Yielder<'_, '_, &str>| {
            co.yield_all(words.iter().map(String::as_str)).await;
        });
        let mut leaked = Box::pin(co.yield_from(delegate));
        assert!(poll_once(leaked.as_mut()).await.is_none());
        std::mem::forget(leaked);
        poll_once(pin!(std::future::pending::<()>())).await;
        let mut waited = false;
        poll_fn(
            |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
        co.yield_("after").await;
    })
    .boxed();
    assert_eq!(outer.next(), Some("from outside"));
    assert_eq!(outer.next(), Some("after"));
    assert_eq!(outer.next(), None);
}

#[test]
fn an_outer_handle_in_an_inner_body_stalls_the_inner_one() {
    let mut outer = generator(async |mut co: Yielder<'_, '_, u32>| {
        let mut inner = pin!(generator(async |_: Yielder<'_, '_, u32>| {
            co.yield_(1).await;
        }));
        let error = inner.as_mut().resume().expect_err("it waits for another body's yield");
        assert!(matches!(error, Error::Misuse(misuse) if misuse.kind() == MisuseKind::Stalled));
    })
    .boxed();
    assert_eq!(outer.next(), None);
    assert_eq!(outer.state(), State::Closed);
}
