//! Nanoseconds per operation beside tokio (current_thread with a LocalSet) and smol's executor: the best of several rounds, and
//! how far the median is above it.
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_executor::LocalExecutor;
use boros::reactor::Clock;
use boros::{EventLoop, Result, create_task, running_loop, sleep, yield_now};
use tokio::task::{LocalSet, spawn_local};

const ROUNDS: usize = 15;
const OPERATIONS: u32 = 100_000;
const BATCH: usize = 100;
/// No timer of this is ever due.
const LATER: Duration = Duration::from_secs(1000);

fn main() {
    row("task switch", &[("boros", boros_switch), ("tokio", tokio_switch), ("smol", smol_switch)]);
    row("spawn and join", &[("boros", boros_spawn), ("tokio", tokio_spawn), ("smol", smol_spawn)]);
    row("call_later, cancel", &[("boros", boros_timer)]);
    row("sleep begun, dropped", &[("boros", boros_sleep), ("tokio", tokio_sleep)]);
    row("call_soon", &[("boros", boros_call)]);
}

/// Times a case: each function runs `OPERATIONS` operations.
fn row(name: &str, cases: &[(&str, fn())]) {
    print!("{name:22}");
    let clock = Clock::monotonic();
    for (who, case) in cases {
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = clock.now();
                case();
                clock.now().since(start).as_nanos() as f64 / f64::from(OPERATIONS)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[ROUNDS / 2]);
        print!("  {who} {best:6.1} (+{:.0} %)", (median / best - 1.0) * 100.0);
    }
    println!();
}

fn on_boros(future: impl Future<Output = Result<()>> + 'static) {
    let event_loop = EventLoop::new().expect("it can be made");
    event_loop.run_until_complete(future).expect("it ends well");
}

fn on_tokio(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    LocalSet::new().block_on(&runtime.expect("it can be made"), future);
}

fn on_smol<'a>(executor: &LocalExecutor<'a>, future: impl Future<Output = ()>) {
    async_executor_block_on(executor.run(future));
}

/// smol's executor brings no loop of its own; nothing here waits for anything but tasks.
fn async_executor_block_on(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while future.as_mut().poll(&mut cx).is_pending() {}
}

fn boros_switch() {
    on_boros(async {
        let run = || async {
            for _ in 0..OPERATIONS / 2 {
                yield_now().await?;
            }
            Ok(())
        };
        let (one, other) = (create_task(run())?, create_task(run())?);
        one.await?;
        other.await
    });
}

fn tokio_switch() {
    on_tokio(async {
        let run = || async {
            for _ in 0..OPERATIONS / 2 {
                plain_yield().await;
            }
        };
        let (one, other) = (spawn_local(run()), spawn_local(run()));
        one.await.expect("it ends");
        other.await.expect("it ends");
    });
}

/// Wakes itself and gives up the turn; tokio's own `yield_now` defers the wake-up, which is slower.
async fn plain_yield() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn smol_switch() {
    let executor = LocalExecutor::new();
    on_smol(&executor, async {
        let run = || async {
            for _ in 0..OPERATIONS / 2 {
                plain_yield().await;
            }
        };
        let (one, other) = (executor.spawn(run()), executor.spawn(run()));
        one.await;
        other.await;
    });
}

fn boros_spawn() {
    on_boros(async {
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..OPERATIONS as usize / BATCH {
            for number in 0..BATCH {
                tasks.push(create_task(async move { Ok(number) })?);
            }
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await?, number);
            }
        }
        Ok(())
    });
}

fn tokio_spawn() {
    on_tokio(async {
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..OPERATIONS as usize / BATCH {
            for number in 0..BATCH {
                tasks.push(spawn_local(async move { number }));
            }
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await.expect("it ends"), number);
            }
        }
    });
}

fn smol_spawn() {
    let executor = LocalExecutor::new();
    on_smol(&executor, async {
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..OPERATIONS as usize / BATCH {
            for number in 0..BATCH {
                tasks.push(executor.spawn(async move { number }));
            }
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await, number);
            }
        }
    });
}

fn boros_timer() {
    on_boros(async {
        let handle = running_loop()?;
        for number in 0..OPERATIONS {
            handle
                .call_later(LATER, move || {
                    black_box(number);
                })
                .cancel();
        }
        Ok(())
    });
}

fn boros_sleep() {
    on_boros(async {
        for _ in 0..OPERATIONS {
            let mut nap = pin!(sleep(LATER));
            poll_fn(|cx| {
                assert!(nap.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        Ok(())
    });
}

fn tokio_sleep() {
    on_tokio(async {
        for _ in 0..OPERATIONS {
            let mut nap = pin!(tokio::time::sleep(LATER));
            poll_fn(|cx| {
                // Its budget runs out now and then, which has to be waited for.
                if nap.as_mut().poll(cx).is_pending() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    });
}

fn boros_call() {
    on_boros(async {
        let handle = running_loop()?;
        for _ in 0..OPERATIONS as usize / BATCH {
            for number in 0..BATCH {
                handle.call_soon(move || {
                    black_box(number);
                });
            }
            yield_now().await?;
        }
        Ok(())
    });
}
