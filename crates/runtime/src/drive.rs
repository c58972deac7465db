//! Coroutines and generators as tasks.
use std::future::IntoFuture;
use std::pin::pin;

use boros_coro::{Error as CoroError, Progress, Resume, Step};

use crate::error::{Error, IntoError, Result, raised};
use crate::sleep::yield_now;

/// Runs a coroutine whose yields are what it waits for, as Python's were before `await`: each yielded thing is awaited, its
/// value is sent to the yield, its error is raised there. So is the [`Cancelled`](crate::Cancelled) of a task that runs this.
///
/// ```
/// use boros::coro::{BoxCoroutine, coroutine};
/// use boros::{Error, Sleep, sleep};
/// use std::time::Duration;
///
/// let nap: BoxCoroutine<'_, Sleep, (), &str, Error> = coroutine(async |mut co| {
///     co.yield_(sleep(Duration::from_secs(3600))).await?;
///     Ok("rested")
/// })
/// .boxed();
/// assert_eq!(boros::run_virtual(boros::drive(nap))?, "rested");
/// # boros::Result::<()>::Ok(())
/// ```
///
/// # Errors
/// What the body raises; [`Misuse`](boros_coro::Misuse) if it has ended already or awaits something else than its yields.
pub async fn drive<C, E>(coroutine: C) -> Result<C::Return>
where
    C: Step<Error = CoroError<Error>>,
    C::Yield: IntoFuture<Output = Result<C::Send, E>>,
    E: Into<Error>,
{
    let mut coroutine = pin!(coroutine);
    let mut resume = Resume::Next;
    loop {
        match coroutine.as_mut().step(resume).map_err(raised)? {
            Progress::Returned(value) => return Ok(value),
            Progress::Yielded(wait) => {
                resume = match wait.await {
                    Ok(value) => Resume::Send(value),
                    Err(error) => Resume::Throw(CoroError::Raised(error.into())),
                };
            }
        }
    }
}

/// Runs a generator to its end, letting all others that are ready have their turn at each of its yields, and answers with its
/// return value. What it yields is dropped.
///
/// # Errors
/// What the body raises; [`Cancelled`](crate::Cancelled), with the body dropped where it waits.
pub async fn drive_turns<C, E>(generator: C) -> Result<C::Return>
where
    C: Step<Error = CoroError<E>>,
    E: IntoError,
{
    let mut generator = pin!(generator);
    loop {
        match generator.as_mut().step(Resume::Next).map_err(raised)? {
            Progress::Returned(value) => return Ok(value),
            Progress::Yielded(_) => yield_now().await?,
        }
    }
}
