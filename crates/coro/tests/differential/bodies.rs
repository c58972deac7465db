//! The family of bodies in Rust; each is written as its namesake in `bodies.py`.
use std::rc::Rc;

use boros_coro::{BoxCoroutine, Co, Error, MisuseKind, State, coroutine};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thrown {
    Soft,
    Hard,
}

use Thrown::{Hard, Soft};

/// What they return: None where Python's bodies return None.
type Return = Option<i64>;
pub(crate) type Body = BoxCoroutine<'static, i64, Option<i64>, Return, Thrown>;
type BodyCo<'g, 'e> = Co<'g, 'e, i64, Option<i64>, Thrown>;
type End = Result<Return, Error<Thrown>>;
type Make = Rc<dyn Fn() -> Body>;
type Wrapper = fn(Make) -> Body;

async fn count(mut co: BodyCo<'_, '_>) -> End {
    for n in 0..3 {
        co.yield_(n).await?;
    }
    Ok(Some(30))
}

async fn echo(mut co: BodyCo<'_, '_>) -> End {
    let mut last = 0;
    loop {
        match co.yield_(last).await? {
            Some(0) => return Ok(Some(last)),
            got => last = got.unwrap_or(-1),
        }
    }
}

async fn catcher(mut co: BodyCo<'_, '_>) -> End {
    let mut caught = 0;
    loop {
        match co.yield_(caught).await {
            Err(Error::Raised(Soft)) => caught += 100,
            got => caught += got?.unwrap_or(1),
        }
    }
}

async fn finisher(mut co: BodyCo<'_, '_>) -> End {
    let mut end = co.yield_(1).await;
    if end.is_ok() {
        end = co.yield_(2).await;
    }
    co.yield_(99).await?;
    end.map(|_| Some(5))
}

async fn stubborn(mut co: BodyCo<'_, '_>) -> End {
    let mut n = 0;
    while n < 3 {
        n += 1;
        match co.yield_(n).await {
            Err(Error::Exit) => n += 10,
            Err(Error::Raised(Hard)) => return Ok(Some(n)),
            other => _ = other?,
        }
    }
    Ok(Some(-n))
}

async fn translates(mut co: BodyCo<'_, '_>) -> End {
    match co.yield_(7).await {
        Err(Error::Raised(Soft)) => Err(Error::Raised(Hard)),
        Err(Error::Exit) => Ok(Some(70)),
        got => got,
    }
}

async fn fails(mut co: BodyCo<'_, '_>) -> End {
    co.yield_(1).await?;
    Err(Error::Raised(Hard))
}

async fn exits(mut co: BodyCo<'_, '_>) -> End {
    co.yield_(1).await?;
    Err(Error::Exit)
}

async fn empty(_: BodyCo<'_, '_>) -> End {
    Ok(Some(4))
}

async fn items(mut co: BodyCo<'_, '_>) -> End {
    match co.yield_all([11, 12, 13]).await {
        Err(Error::Misuse(misuse)) if misuse.kind() == MisuseKind::SentToIterator => {
            _ = co.yield_(801).await?
        }
        Err(Error::Raised(Soft)) => _ = co.yield_(802).await?,
        other => other?,
    }
    Ok(Some(9))
}

async fn started(mut co: BodyCo<'_, '_>) -> End {
    let mut inner = coroutine(echo).boxed();
    let first = inner.next()?.yielded().unwrap_or(0);
    co.yield_(first).await?;
    co.yield_from_with(inner, None).await
}

fn over(make: Make) -> Body {
    coroutine(async move |mut co: BodyCo<'_, '_>| {
        let first = co.yield_from(make()).await?;
        co.yield_(500 + first.unwrap_or(0)).await?;
        Ok(Some(6))
    })
    .boxed()
}

fn guarded(make: Make) -> Body {
    coroutine(async move |mut co: BodyCo<'_, '_>| {
        loop {
            let answer = match co.yield_from(make()).await {
                Err(Error::Raised(Soft)) => 601,
                Err(Error::Raised(Hard)) => return Ok(Some(602)),
                Err(Error::Misuse(misuse)) if misuse.kind() == MisuseKind::IgnoredClose => 603,
                got => got?.unwrap_or(604),
            };
            co.yield_(answer).await?;
        }
    })
    .boxed()
}

fn cleaning(make: Make) -> Body {
    coroutine(async move |mut co: BodyCo<'_, '_>| {
        let mut end = co.yield_from(make()).await;
        if let Err(Error::Exit) = end {
            // What is raised at this yield takes the place of the exit.
            end = co.yield_(701).await.and(Err(Error::Exit));
        }
        co.yield_(702).await?;
        end.map(|_| Some(8))
    })
    .boxed()
}

/// All bodies by name: each base alone, wrapped once and wrapped twice.
pub(crate) fn bodies() -> Vec<(String, Make)> {
    macro_rules! bases {
        ($($body:ident),*) => {
            vec![$((stringify!($body).to_string(), Rc::new(|| coroutine($body).boxed()) as Make)),*]
        };
    }
    let bases = bases![
        count, echo, catcher, finisher, stubborn, translates, fails, exits, empty, items, started
    ];
    let once = wrapped(&bases);
    let twice = wrapped(&once);
    [bases, once, twice].concat()
}

fn wrapped(inner: &[(String, Make)]) -> Vec<(String, Make)> {
    let wrappers: [(&str, Wrapper); 3] =
        [("over", over), ("guarded", guarded), ("cleaning", cleaning)];
    let mut all = Vec::new();
    for (name, wrap) in wrappers {
        for (of, make) in inner {
            let make = Rc::clone(make);
            all.push((format!("{name}.{of}"), Rc::new(move || wrap(Rc::clone(&make))) as Make));
        }
    }
    all
}

/// One op as `bodies.py` reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Next,
    Send(i64),
    Throw(Thrown),
    Exit,
    Close,
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Next => f.write_str("n"),
            Self::Send(value) => write!(f, "s{value}"),
            Self::Throw(Soft) => f.write_str("tS"),
            Self::Throw(Hard) => f.write_str("tH"),
            Self::Exit => f.write_str("x"),
            Self::Close => f.write_str("c"),
        }
    }
}

/// Runs the ops as `bodies.py` does, and traces as it does.
pub(crate) fn trace(mut body: Body, ops: &[Op]) -> String {
    let mut trace = Vec::new();
    for op in ops {
        let step = match op {
            Op::Next => body.next(),
            Op::Send(value) => body.send(Some(*value)),
            Op::Throw(error) => body.throw(*error),
            Op::Exit => body.throw(Error::Exit),
            Op::Close => {
                let text = match body.close() {
                    Ok(_) => "closed".to_string(),
                    Err(error) => raised(error),
                };
                trace.push(format!("{text}/{}", state(body.state())));
                continue;
            }
        };
        let text = match step {
            Ok(boros_coro::Progress::Yielded(value)) => format!("yield {value}"),
            Ok(boros_coro::Progress::Returned(Some(value))) => format!("return {value}"),
            Ok(boros_coro::Progress::Returned(None)) => "stop".to_string(),
            Err(error) => raised(error),
        };
        trace.push(format!("{text}/{}", state(body.state())));
    }
    trace.join(",")
}

fn state(state: State) -> String {
    state.to_string()
}

fn raised(error: Error<Thrown>) -> String {
    match error {
        Error::Raised(error) => format!("raise {error:?}"),
        Error::Exit => "raise GeneratorExit".to_string(),
        Error::Misuse(misuse) => match misuse.kind() {
            MisuseKind::NotStarted => "not started".to_string(),
            MisuseKind::Exhausted => "stop".to_string(),
            MisuseKind::IgnoredClose => "ignored".to_string(),
            MisuseKind::SentToIterator => "raise AttributeError".to_string(),
            other => format!("misuse {other:?}"),
        },
    }
}
