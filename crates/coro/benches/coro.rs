//! What a yield, a send, a throw, a delegation and a generator's life cost, beside hand-written Rust and other crates.
//!
//! Named area/case/implementation. Each benchmark runs `N` operations and checks the answer once; the figure to read is
//! the item time.
#![allow(missing_docs)]
use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;

use boros_coro::Progress::Yielded;
use boros_coro::{BoxGenerator, Co, Error, Pool, coroutine, generator};
use corosensei::{Coroutine as Stackful, CoroutineResult};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

const N: u64 = 10_000;
const SUM: u64 = N * (N - 1) / 2;

/// Runs `operations` per sample and counts them.
fn per_item(bencher: Bencher<'_, '_>, mut operations: impl FnMut(u64) -> u64, expected: u64) {
    assert_eq!(operations(N), expected);
    bencher.counter(ItemsCount::new(N)).bench_local(|| operations(black_box(N)));
}

fn sum_in_memory(items: impl Iterator<Item = u64>) -> u64 {
    let mut sum = 0;
    for item in items {
        sum += black_box(item);
    }
    sum
}

mod r#yield {
    use super::*;

    struct Counter {
        n: u64,
        to: u64,
    }

    impl Iterator for Counter {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            (self.n < self.to).then(|| {
                self.n += 1;
                self.n - 1
            })
        }
    }

    #[divan::bench]
    fn by_hand(bencher: Bencher<'_, '_>) {
        per_item(bencher, |n| sum_in_memory(Counter { n: 0, to: n }), SUM);
    }

    #[divan::bench]
    fn by_hand_dyn(bencher: Bencher<'_, '_>) {
        let run = |n| {
            sum_in_memory(black_box(
                Box::new(Counter { n: 0, to: n }) as Box<dyn Iterator<Item = u64>>
            ))
        };
        per_item(bencher, run, SUM);
    }

    #[divan::bench]
    fn pinned(bencher: Bencher<'_, '_>) {
        let run = |n| {
            sum_in_memory(pin!(generator(async move |mut co| {
                for n in 0..n {
                    co.yield_(n).await;
                }
            })))
        };
        per_item(bencher, run, SUM);
    }

    #[divan::bench]
    fn boxed(bencher: Bencher<'_, '_>) {
        let run = |n| {
            sum_in_memory(black_box(
                generator(async move |mut co| {
                    for n in 0..n {
                        co.yield_(n).await;
                    }
                })
                .boxed(),
            ))
        };
        per_item(bencher, run, SUM);
    }

    #[divan::bench]
    fn genawaiter(bencher: Bencher<'_, '_>) {
        let run = |n| {
            genawaiter::stack::let_gen_using!(numbers, |co| async move {
                for n in 0..n {
                    co.yield_(n).await;
                }
            });
            sum_in_memory(numbers.into_iter())
        };
        per_item(bencher, run, SUM);
    }

    #[divan::bench]
    fn corosensei(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut numbers = Stackful::new(move |yielder, ()| {
                for n in 0..n {
                    yielder.suspend(n);
                }
            });
            let mut sum = 0;
            while let CoroutineResult::Yield(n) = numbers.resume(()) {
                sum += black_box(n);
            }
            sum
        };
        per_item(bencher, run, SUM);
    }
}

mod send {
    use super::*;

    #[derive(Default)]
    struct Averager {
        total: f64,
        count: f64,
    }

    impl Averager {
        #[inline(never)]
        fn send(&mut self, value: f64) -> f64 {
            self.total += value;
            self.count += 1.0;
            self.total / self.count
        }
    }

    async fn average(mut co: Co<'_, '_, f64, f64>) -> Result<(), Error<Infallible>> {
        let (mut total, mut count, mut average) = (0.0, 0.0, 0.0);
        loop {
            total += co.yield_(average).await?;
            count += 1.0;
            average = total / count;
        }
    }

    /// Sends 2.0 again and again, whose average is 2.0, and counts.
    fn averages(n: u64, mut send: impl FnMut(f64) -> f64) -> u64 {
        let mut last = 0.0;
        for _ in 0..n {
            last = black_box(send(black_box(2.0)));
        }
        last as u64
    }

    #[divan::bench]
    fn by_hand(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut averager = Averager::default();
            averages(n, |value| averager.send(value))
        };
        per_item(bencher, run, 2);
    }

    #[divan::bench]
    fn pinned(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut averager = pin!(coroutine(average));
            averager.as_mut().start().expect("it yields");
            averages(n, |value| match averager.as_mut().send(value) {
                Ok(Yielded(average)) => average,
                _ => 0.0,
            })
        };
        per_item(bencher, run, 2);
    }

    #[divan::bench]
    fn boxed(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut averager = coroutine(average).boxed();
            averager.start().expect("it yields");
            averages(n, |value| match averager.send(value) {
                Ok(Yielded(average)) => average,
                _ => 0.0,
            })
        };
        per_item(bencher, run, 2);
    }

    #[divan::bench]
    fn genawaiter(bencher: Bencher<'_, '_>) {
        let run = |n| {
            genawaiter::stack::let_gen_using!(averager, |co| async move {
                let (mut total, mut count, mut average) = (0.0, 0.0, 0.0);
                loop {
                    let value: f64 = co.yield_(average).await;
                    total += value;
                    count += 1.0;
                    average = total / count;
                }
            });
            averager.resume_with(0.0);
            averages(n, |value| match averager.resume_with(value) {
                genawaiter::GeneratorState::Yielded(average) => average,
                genawaiter::GeneratorState::Complete(()) => 0.0,
            })
        };
        per_item(bencher, run, 2);
    }
}

mod throw {
    use super::*;

    async fn counts_errors(mut co: Co<'_, '_, u64, (), u64>) -> Result<(), Error<u64>> {
        let mut caught = 0;
        loop {
            if let Err(Error::Raised(error)) = co.yield_(caught).await {
                caught += error;
            }
        }
    }

    #[divan::bench]
    fn pinned(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut body = pin!(coroutine(counts_errors));
            body.as_mut().start().expect("it yields");
            let mut last = 0;
            for _ in 0..n {
                if let Ok(Yielded(caught)) = body.as_mut().throw(black_box(1)) {
                    last = black_box(caught);
                }
            }
            last
        };
        per_item(bencher, run, N);
    }

    #[divan::bench]
    fn boxed(bencher: Bencher<'_, '_>) {
        let run = |n| {
            let mut body = coroutine(counts_errors).boxed();
            body.start().expect("it yields");
            let mut last = 0;
            for _ in 0..n {
                if let Ok(Yielded(caught)) = body.throw(black_box(1)) {
                    last = black_box(caught);
                }
            }
            last
        };
        per_item(bencher, run, N);
    }
}

mod delegate {
    use super::*;

    fn chain(depth: u64, to: u64) -> BoxGenerator<'static, u64> {
        generator(async move |mut co| {
            if depth == 0 {
                for n in 0..to {
                    co.yield_(n).await;
                }
            } else {
                co.yield_from(chain(depth - 1, to)).await;
            }
        })
        .boxed()
    }

    #[divan::bench(args = [1, 10, 100, 10_000])]
    fn boros(bencher: Bencher<'_, '_>, depth: u64) {
        let mut numbers = chain(depth, u64::MAX);
        assert_eq!(numbers.next(), Some(0));
        bencher.counter(ItemsCount::new(N)).bench_local(|| {
            for _ in 0..N {
                black_box(numbers.next());
            }
        });
    }

    #[divan::bench(args = [1, 10, 100])]
    fn genawaiter(bencher: Bencher<'_, '_>, depth: u64) {
        use genawaiter::rc::Gen;
        fn chain(depth: u64) -> Box<dyn Iterator<Item = u64>> {
            Box::new(
                Gen::new(|co| async move {
                    if depth == 0 {
                        for n in 0..u64::MAX {
                            co.yield_(n).await;
                        }
                    } else {
                        for n in chain(depth - 1) {
                            co.yield_(n).await;
                        }
                    }
                })
                .into_iter(),
            )
        }
        let mut numbers = chain(depth);
        assert_eq!(numbers.next(), Some(0));
        bencher.counter(ItemsCount::new(N)).bench_local(|| {
            for _ in 0..N {
                black_box(numbers.next());
            }
        });
    }

    /// Delegation on one stack: the innermost yields to the outermost's caller.
    #[divan::bench(args = [1, 10, 100])]
    fn corosensei(bencher: Bencher<'_, '_>, depth: u64) {
        fn chain(depth: u64, yielder: &corosensei::Yielder<(), u64>) {
            if depth > 0 {
                return chain(black_box(depth - 1), yielder);
            }
            for n in 0.. {
                yielder.suspend(n);
            }
        }
        let mut numbers = Stackful::<(), u64, ()>::new(move |yielder, ()| chain(depth, yielder));
        bencher.counter(ItemsCount::new(N)).bench_local(|| {
            for _ in 0..N {
                black_box(numbers.resume(()).as_yield());
            }
        });
        // It would be unwound otherwise.
        std::mem::forget(numbers);
    }
}

mod tree {
    use super::*;

    const NODES: u64 = 1_000_000;

    struct Node {
        left: Option<Box<Node>>,
        value: u64,
        right: Option<Box<Node>>,
    }

    fn grow(from: u64, to: u64) -> Option<Box<Node>> {
        (from < to).then(|| {
            let value = from.midpoint(to);
            Box::new(Node { left: grow(from, value), value, right: grow(value + 1, to) })
        })
    }

    fn per_node(bencher: Bencher<'_, '_>, walk: impl Fn(&Node) -> u64) {
        let tree = grow(0, NODES).expect("it has nodes");
        assert_eq!(walk(&tree), NODES * (NODES - 1) / 2);
        bencher.counter(ItemsCount::new(NODES)).bench_local(|| walk(black_box(&tree)));
    }

    #[divan::bench(sample_count = 20)]
    fn by_hand(bencher: Bencher<'_, '_>) {
        struct Walk<'t>(Vec<&'t Node>);
        impl<'t> Walk<'t> {
            fn descend(&mut self, mut node: Option<&'t Node>) {
                while let Some(here) = node {
                    self.0.push(here);
                    node = here.left.as_deref();
                }
            }
        }
        impl Iterator for Walk<'_> {
            type Item = u64;
            fn next(&mut self) -> Option<u64> {
                let node = self.0.pop()?;
                self.descend(node.right.as_deref());
                Some(node.value)
            }
        }
        per_node(bencher, |tree| {
            let mut walk = Walk(Vec::new());
            walk.descend(Some(tree));
            sum_in_memory(walk)
        });
    }

    fn walk(node: &Node) -> BoxGenerator<'_, u64> {
        generator(async move |mut co| {
            if let Some(left) = &node.left {
                co.yield_from(walk(left)).await;
            }
            co.yield_(node.value).await;
            if let Some(right) = &node.right {
                co.yield_from(walk(right)).await;
            }
        })
        .boxed()
    }

    #[divan::bench(sample_count = 20)]
    fn boxed(bencher: Bencher<'_, '_>) {
        per_node(bencher, |tree| sum_in_memory(walk(tree)));
    }

    fn walk_pooled<'t>(node: &'t Node, pool: &'t Pool) -> BoxGenerator<'t, u64> {
        generator(async move |mut co| {
            if let Some(left) = &node.left {
                co.yield_from(walk_pooled(left, pool)).await;
            }
            co.yield_(node.value).await;
            if let Some(right) = &node.right {
                co.yield_from(walk_pooled(right, pool)).await;
            }
        })
        .boxed_in(pool)
    }

    #[divan::bench(sample_count = 20)]
    fn pooled(bencher: Bencher<'_, '_>) {
        per_node(bencher, |tree| {
            let pool = Pool::new();
            sum_in_memory(walk_pooled(tree, &pool))
        });
    }

    #[divan::bench(sample_count = 20)]
    fn corosensei(bencher: Bencher<'_, '_>) {
        fn walk(node: &Node, yielder: &corosensei::Yielder<(), u64>) {
            if let Some(left) = &node.left {
                walk(left, yielder);
            }
            yielder.suspend(node.value);
            if let Some(right) = &node.right {
                walk(right, yielder);
            }
        }
        per_node(bencher, |tree| {
            // SAFETY: the tree outlives the coroutine, which ends in this closure.
            let tree: &'static Node = unsafe { &*std::ptr::from_ref(tree) };
            let mut nodes = Stackful::new(move |yielder, ()| walk(tree, yielder));
            let mut sum = 0;
            while let CoroutineResult::Yield(value) = nodes.resume(()) {
                sum += black_box(value);
            }
            sum
        });
    }

    #[divan::bench(sample_count = 5)]
    fn genawaiter(bencher: Bencher<'_, '_>) {
        use genawaiter::rc::Gen;
        fn walk(node: &Node) -> Box<dyn Iterator<Item = u64> + '_> {
            Box::new(
                Gen::new(|co| async move {
                    for value in node.left.iter().flat_map(|left| walk(left)) {
                        co.yield_(value).await;
                    }
                    co.yield_(node.value).await;
                    for value in node.right.iter().flat_map(|right| walk(right)) {
                        co.yield_(value).await;
                    }
                })
                .into_iter(),
            )
        }
        per_node(bencher, |tree| sum_in_memory(walk(tree)));
    }
}

mod life {
    use super::*;

    fn lives(n: u64, one: impl Fn(u64) -> u64) -> u64 {
        (0..n).map(|n| black_box(one(black_box(n)))).sum()
    }

    #[divan::bench]
    fn by_hand_boxed(bencher: Bencher<'_, '_>) {
        let one = |n| {
            let mut items: Box<dyn Iterator<Item = u64>> = black_box(Box::new(n..u64::MAX));
            items.next().unwrap_or(0)
        };
        per_item(bencher, |n| lives(n, one), SUM);
    }

    #[divan::bench]
    fn pinned(bencher: Bencher<'_, '_>) {
        let one = |n| {
            let mut numbers = pin!(generator(async move |mut co| {
                for n in n..u64::MAX {
                    co.yield_(n).await;
                }
            }));
            numbers.next().unwrap_or(0)
        };
        per_item(bencher, |n| lives(n, one), SUM);
    }

    #[divan::bench]
    fn boxed(bencher: Bencher<'_, '_>) {
        let one = |n| {
            let mut numbers = generator(async move |mut co| {
                for n in n..u64::MAX {
                    co.yield_(n).await;
                }
            })
            .boxed();
            numbers.next().unwrap_or(0)
        };
        per_item(bencher, |n| lives(n, one), SUM);
    }

    #[divan::bench]
    fn genawaiter_stack(bencher: Bencher<'_, '_>) {
        let one = |n| {
            genawaiter::stack::let_gen_using!(numbers, |co| async move {
                for n in n..u64::MAX {
                    co.yield_(n).await;
                }
            });
            numbers.into_iter().next().unwrap_or(0)
        };
        per_item(bencher, |n| lives(n, one), SUM);
    }

    #[divan::bench]
    fn genawaiter_boxed(bencher: Bencher<'_, '_>) {
        let one = |n| {
            let numbers = genawaiter::rc::Gen::new(|co| async move {
                for n in n..u64::MAX {
                    co.yield_(n).await;
                }
            });
            numbers.into_iter().next().unwrap_or(0)
        };
        per_item(bencher, |n| lives(n, one), SUM);
    }
}
