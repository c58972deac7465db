//! A coroutine that is sent values: a running average, and one that reports when it is told that no more will come.
use boros_coro::{BoxCoroutine, Error, coroutine};
use std::convert::Infallible;

/// Answers each value with the average so far.
fn average() -> BoxCoroutine<'static, f64, f64> {
    coroutine(async |mut co| {
        let (mut total, mut count, mut average) = (0.0, 0.0, 0.0);
        loop {
            total += co.yield_(average).await?;
            count += 1.0;
            average = total / count;
        }
    })
    .boxed()
}

#[derive(Debug)]
#[allow(dead_code, reason = "read by Debug")]
struct Report {
    count: u32,
    average: Option<f64>,
}

/// Takes values until it is sent none, then reports.
fn survey() -> BoxCoroutine<'static, (), Option<f64>, Report> {
    coroutine(async |mut co| {
        let (mut total, mut count) = (0.0, 0);
        while let Some(value) = co.yield_(()).await? {
            total += value;
            count += 1;
        }
        Ok(Report { count, average: (count > 0).then(|| total / f64::from(count)) })
    })
    .boxed()
}

fn main() -> Result<(), Error<Infallible>> {
    let mut average = average();
    match average.send(1.0) {
        Err(error) => println!("too early: {error}"),
        Ok(progress) => println!("{progress:?}"),
    }
    println!("started, it waits: {:?}", average.start()?);
    for value in [10.0, 30.0, 5.0] {
        println!("send {value}: {:?}", average.send(value)?);
    }
    println!("{}", average.state());
    average.close()?;
    println!("{}", average.state());

    let mut survey = survey();
    survey.start()?;
    for value in [4.0, 12.0, 35.0, 5.0] {
        survey.send(Some(value))?;
    }
    println!("no more: {:?}", survey.send(None)?);

    let mut nobody_asked = self::survey();
    nobody_asked.start()?;
    println!("no value at all: {:?}", nobody_asked.next()?);
    Ok(())
}
