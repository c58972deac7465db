//! Errors thrown into a coroutine: handled at the yield, passed on with `?`, and the request to end.
use std::fmt;

use boros_coro::{BoxCoroutine, Error, coroutine};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    Hiccup,
    Breakdown,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hiccup => "a hiccup",
            Self::Breakdown => "a breakdown",
        })
    }
}

type Worker = BoxCoroutine<'static, (), Option<&'static str>, u32, Trouble>;

/// Does what it is sent, shrugs off hiccups, and cleans up however it ends.
fn worker() -> Worker {
    coroutine(async |mut co| {
        println!("  worker: ready");
        let mut done = 0;
        let end = loop {
            match co.yield_(()).await {
                Ok(Some(job)) => {
                    done += 1;
                    println!("  worker: {job} done");
                }
                Ok(None) => break Ok(done),
                Err(Error::Raised(Trouble::Hiccup)) => println!("  worker: a hiccup, no matter"),
                Err(error) => break Err(error),
            }
        };
        println!("  worker: puts the tools away after {done}");
        end
    })
    .boxed()
}

fn tell(what: &str, worker: &mut Worker, step: impl FnOnce(&mut Worker) -> String) {
    println!("{what}");
    let answer = step(worker);
    println!("  {answer}; {}", worker.state());
}

fn main() {
    let mut steady = worker();
    tell("start", &mut steady, |worker| format!("{:?}", worker.start()));
    tell("send a job", &mut steady, |worker| format!("{:?}", worker.send(Some("sweeping"))));
    tell("throw a hiccup", &mut steady, |worker| format!("{:?}", worker.throw(Trouble::Hiccup)));
    tell("send a job", &mut steady, |worker| format!("{:?}", worker.send(Some("polishing"))));
    tell("send none", &mut steady, |worker| format!("{:?}", worker.send(None)));

    let mut unlucky = worker();
    tell("another, started", &mut unlucky, |worker| format!("{:?}", worker.start()));
    tell("throw a breakdown", &mut unlucky, |worker| {
        format!("{:?}", worker.throw(Trouble::Breakdown))
    });
    tell("send it a job all the same", &mut unlucky, |worker| match worker.send(Some("dusting")) {
        Ok(progress) => format!("{progress:?}"),
        Err(error) => error.to_string().split(" (").next().unwrap_or_default().to_string(),
    });

    let mut dismissed = worker();
    tell("a third, started", &mut dismissed, |worker| format!("{:?}", worker.start()));
    tell("close it", &mut dismissed, |worker| format!("{:?}", worker.close()));
}
