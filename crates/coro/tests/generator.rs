//! Generators: laziness, iteration, exhaustion, the stack and the heap, threads.
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use boros_coro::{
    BoxGenerator, Misuse, MisuseKind, Pool, Progress, Sendable, State, Yielder, generator,
};

fn count(to: u64) -> BoxGenerator<'static, u64> {
    generator(async move |mut co| {
        for n in 0..to {
            co.yield_(n).await;
        }
    })
    .boxed()
}

#[test]
fn starts_lazily_and_ends_for_good() {
    let runs = Rc::new(Cell::new(0));
    let seen = Rc::clone(&runs);
    let mut numbers = generator(async move |mut co| {
        seen.set(seen.get() + 1);
        co.yield_('a').await;
        seen.set(seen.get() + 1);
    })
    .boxed();
    assert_eq!((runs.get(), numbers.state()), (0, State::Created));
    assert_eq!(numbers.next(), Some('a'));
    assert_eq!((runs.get(), numbers.state()), (1, State::Suspended));
    assert_eq!(numbers.next(), None);
    assert_eq!((runs.get(), numbers.state()), (2, State::Closed));
    assert_eq!(numbers.next(), None);
    assert_eq!(runs.get(), 2);
}

#[test]
fn pinned_to_the_stack_it_is_an_iterator() {
    let mut squares = pin!(generator(async |mut co| {
        for n in 1..=3 {
            co.yield_(n * n).await;
        }
    }));
    assert_eq!(squares.next(), Some(1));
    assert_eq!(squares.as_mut().collect::<Vec<i32>>(), [4, 9]);
    assert_eq!(squares.state(), State::Closed);
    assert_eq!(squares.next(), None);
}

#[test]
fn a_function_can_be_a_body() {
    async fn letters(mut co: Yielder<'_, '_, char>) {
        for letter in 'a'..='c' {
            co.yield_(letter).await;
        }
    }
    assert_eq!(generator(letters).boxed().collect::<String>(), "abc");
}

#[test]
fn adaptors_pipelines_and_infinite_ones() {
    fn naturals() -> BoxGenerator<'static, u64> {
        count(u64::MAX)
    }
    fn squares<'a>(input: impl Iterator<Item = u64> + 'a) -> BoxGenerator<'a, u64> {
        generator(async move |mut co| {
            for n in input {
                co.yield_(n * n).await;
            }
        })
        .boxed()
    }
    let picked: Vec<_> = squares(naturals().filter(|n| n % 2 == 1)).take(4).collect();
    assert_eq!(picked, [1, 9, 25, 49]);
    let mut first = naturals();
    let second = naturals();
    first.nth(9);
    assert_eq!(first.zip(second).take(2).collect::<Vec<_>>(), [(10, 0), (11, 1)]);
}

#[test]
fn returns_a_value_that_is_not_a_yield() {
    let mut body = generator(async |mut co| {
        co.yield_(1).await;
        "done"
    })
    .boxed();
    assert_eq!(body.resume(), Ok(Progress::Yielded(1)));
    assert_eq!(body.resume(), Ok(Progress::Returned("done")));
    let error = body.resume().expect_err("it has ended");
    assert!(
        matches!(error, boros_coro::Error::Misuse(misuse) if misuse.kind() == MisuseKind::Exhausted)
    );
}

#[test]
fn close_drops_what_the_body_holds() {
    let held = Rc::new(());
    let inside = Rc::clone(&held);
    let mut body = generator(async move |mut co| {
        let _inside = inside;
        co.yield_(()).await;
    })
    .boxed();
    body.next();
    assert_eq!(Rc::strong_count(&held), 2);
    body.close();
    assert_eq!((Rc::strong_count(&held), body.state()), (1, State::Closed));
    assert_eq!(body.next(), None);
}

#[test]
fn closed_before_it_started_it_never_runs() {
    let mut body = generator(async |mut co: Yielder<'_, '_, u8>| {
        co.yield_(1).await;
        panic!("it never runs");
    })
    .boxed();
    body.close();
    assert_eq!((body.state(), body.next()), (State::Closed, None));
}

#[test]
fn a_value_not_taken_is_dropped_once() {
    struct Counted<'a>(&'a Cell<u32>);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Cell::new(0);
    let mut body = generator(async |mut co| {
        drop(co.yield_(Counted(&drops)));
        std::mem::forget(co.yield_(Counted(&drops)));
        co.yield_(Counted(&drops)).await;
        std::mem::forget(co.yield_(Counted(&drops)));
    })
    .boxed();
    let yielded = body.next();
    assert_eq!(drops.get(), 2);
    drop(yielded);
    assert_eq!(drops.get(), 3);
    assert!(body.next().is_none());
    drop(body);
    assert_eq!(drops.get(), 4);
}

#[test]
fn yields_all_of_an_iterator_that_borrows_from_the_body() {
    let body = generator(async |mut co| {
        let words = String::from("to be or not");
        co.yield_all(words.split(' ').map(str::len)).await;
        co.yield_(words.len()).await;
    })
    .boxed();
    assert_eq!(body.collect::<Vec<_>>(), [2, 2, 2, 3, 12]);
}

#[test]
fn a_wait_for_something_else_is_told_not_lost() {
    let mut body = generator(async |mut co| {
        std::future::pending::<()>().await;
        co.yield_(1).await;
    })
    .boxed();
    let error = body.resume().expect_err("nothing can wake it");
    let boros_coro::Error::Misuse(misuse) = error else { panic!("{error:?}") };
    assert_eq!(misuse.kind(), MisuseKind::Stalled);
    assert!(misuse.to_string().contains("async generator"));
    assert_eq!(body.next(), None);
}

#[test]
fn moves_between_threads_when_the_body_may() {
    let mut body: BoxGenerator<'_, u32, (), Sendable> = generator(async |mut co| {
        co.yield_(1).await;
        co.yield_from(
            generator(async |mut co| {
                co.yield_(2).await;
                co.yield_(3).await;
            })
            .boxed_send(),
        )
        .await;
        co.yield_from(generator(async |mut co: Yielder<'_, '_, u32>| co.yield_(4).await)).await;
    })
    .boxed_send();
    assert_eq!(body.by_ref().take(2).collect::<Vec<_>>(), [1, 2]);
    let rest = std::thread::spawn(move || body.collect::<Vec<_>>()).join().expect("no panic");
    assert_eq!(rest, [3, 4]);
}

#[test]
fn a_panic_closes_it_and_drops_what_it_holds() {
    let held = Rc::new(());
    let inside = Rc::clone(&held);
    let mut body = generator(async move |mut co| {
        let _inside = &inside;
        co.yield_(1).await;
        panic!("in the body");
    })
    .boxed();
    body.next();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body.next()));
    assert!(caught.is_err());
    assert_eq!((body.state(), body.next(), Rc::strong_count(&held)), (State::Closed, None, 1));
}

#[test]
fn a_pool_gives_the_same_blocks_again() {
    let pool = Pool::new();
    let make = || {
        generator(async |mut co| {
            co.yield_([7u64; 4]).await;
        })
        .boxed_in(&pool)
    };
    let mut first = make();
    assert_eq!(first.next(), Some([7; 4]));
    let mut second = make();
    drop(first);
    let mut third = make();
    drop(pool.clone());
    assert_eq!((second.next(), third.next(), third.next()), (Some([7; 4]), Some([7; 4]), None));
}

#[test]
fn blocks_outlive_the_pools_handle_and_may_be_large() {
    let pool = Pool::new();
    let mut small =
        generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await).boxed_in(&pool);
    let mut large = generator(async |mut co| {
        let table = [3u8; 4096];
        co.yield_(table[0]).await;
        co.yield_(table[4095]).await;
    })
    .boxed_in(&pool);
    drop(pool);
    assert_eq!((small.next(), large.next(), large.next()), (Some(1), Some(3), Some(3)));
}

#[test]
fn misuse_says_where_and_what_to_do() {
    let mut body = generator(async |mut co: Yielder<'_, '_, u8>| co.yield_(1).await).boxed();
    body.by_ref().for_each(drop);
    let Err(boros_coro::Error::Misuse(misuse)) = body.resume() else { panic!("it has ended") };
    let misuse: Misuse = misuse;
    assert!(misuse.to_string().starts_with("the coroutine has ended: make a new one"), "{misuse}");
    assert!(misuse.to_string().contains("tests/generator.rs:"), "{misuse}");
}
