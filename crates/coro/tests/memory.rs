//! What generators take of the heap: one small block when boxed, nothing when pinned to the stack.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;

use boros_coro::{BoxGenerator, Co, Pool, Progress, coroutine, generator};

/// Counts this thread's blocks and bytes.
struct Counting;

thread_local! {
    static TAKEN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: it does what the system's allocator does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ =
            TAKEN.try_with(|taken| taken.set((taken.get().0 + 1, taken.get().1 + layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The blocks and bytes that something takes.
fn taken<T>(run: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = TAKEN.get();
    let result = run();
    let after = TAKEN.get();
    (result, after.0 - before.0, after.1 - before.1)
}

fn counter(to: u64) -> BoxGenerator<'static, u64> {
    generator(async move |mut co| {
        for n in 0..to {
            co.yield_(n).await;
        }
    })
    .boxed()
}

#[test]
fn a_suspended_counter_is_one_block_of_at_most_136_bytes() {
    let (counter, blocks, bytes) = taken(|| {
        let mut counter = counter(10);
        counter.next();
        counter
    });
    assert_eq!(blocks, 1);
    assert!(bytes <= 136, "{bytes} bytes");
    assert_eq!(counter.sum::<u64>(), 45);
}

#[test]
fn on_the_stack_nothing_is_allocated() {
    let (sum, blocks, _) = taken(|| {
        let mut sum = 0;
        for n in pin!(generator(async |mut co| co.yield_all(0..100u64).await)) {
            sum += n;
        }
        let mut averager =
            pin!(coroutine::<u64, u64, (), (), _, _>(async |mut co: Co<'_, '_, _, _, _>| {
                let mut last = 0;
                loop {
                    last += co.yield_(last).await?;
                }
            }));
        let _ = averager.as_mut().start();
        if let Ok(Progress::Yielded(last)) = averager.as_mut().send(50) {
            sum += last;
        }
        sum
    });
    assert_eq!((sum, blocks), (5000, 0));
}

#[test]
fn a_pool_allocates_no_more_than_lives_at_once() {
    let pool = Pool::new();
    let make = |n: u32| generator(async move |mut co| co.yield_(n).await).boxed_in(&pool);
    let (sum, blocks, _) = taken(|| (0..1000).filter_map(|n| make(n).next()).sum::<u32>());
    assert_eq!((sum, blocks), (499_500, 1));
}
