//! A future that one task fulfils and another watches: the result of a search, and of a search that finds nothing.
use std::time::Duration;

use boros::{Error, Future, Result, create_task, gather, running_loop, sleep};

type Test = fn(u64) -> bool;

/// Looks at one number a second.
async fn search(numbers: Vec<u64>, wanted: Test, found: Future<u64>) -> Result<()> {
    for number in numbers {
        sleep(Duration::from_secs(1)).await?;
        if wanted(number) {
            found.set_result(number)?;
            return Ok(());
        }
    }
    found.set_exception(Error::msg("nothing was found"))?;
    Ok(())
}

/// Looks at a future every other second.
async fn monitor(name: &str, future: Future<u64>) -> Result<()> {
    while !future.is_done() {
        println!("{name}: waiting …");
        sleep(Duration::from_secs(2)).await?;
    }
    match future.result() {
        Ok(number) => println!("{name}: found {number}"),
        Err(error) => println!("{name}: {error}"),
    }
    Ok(())
}

fn main() -> Result<()> {
    boros::run_virtual(async {
        let event_loop = running_loop()?;
        let start = event_loop.time();
        let numbers: Vec<u64> = (0..8).map(|exponent| 3u64.pow(exponent)).collect();
        let mut monitors = Vec::new();
        let searches: [(&str, Test); 2] =
            [("three digits", |number| number > 99), ("even", |number| number % 2 == 0)];
        for (name, wanted) in searches {
            let future = event_loop.create_future();
            future.add_done_callback(move |future| println!("{name}: {future:?}"));
            create_task(search(numbers.clone(), wanted, future.clone()))?;
            monitors.push(create_task(monitor(name, future))?.named(name));
        }
        sleep(Duration::from_millis(2500)).await?;
        for task in event_loop.all_tasks().iter().filter(|task| task.name.starts_with("e")) {
            let what = task.waits.first().map_or_else(String::new, |wait| wait.on.to_string());
            println!("looking in: {} is {:?} for {what}", task.name, task.state);
        }
        gather(monitors).await?;
        println!("after {:?}", event_loop.time().since(start));
        Ok(())
    })
}
