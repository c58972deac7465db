//! Python's rules for next, send, throw and close, over any engine.
use core::pin::Pin;

use crate::body::{Engine, Event};
use crate::error::{Error, Misuse, MisuseKind};
use crate::frame::{Frame, Head};
use crate::input::Input;
use crate::state::Stage;
use crate::step::{Progress, Resume, Stepped, Unsent};

/// What the yields of a coroutine receive.
pub(crate) type Received<S, E> = Result<S, Error<E>>;

pub(crate) fn misuse<E>(kind: MisuseKind, head: &Head) -> Error<E> {
    Error::Misuse(Misuse::new(kind, head.at.get()))
}

/// Gives the innermost body of the chain what its yield receives.
#[inline]
pub(crate) fn resume<Y, I: Input, T, G: Engine<Y, I, T>>(engine: Pin<&mut G>, input: I) {
    let root = engine.whole();
    // SAFETY: the engine is held exclusively, and its chain is alive, with the same types of value throughout.
    unsafe { Head::innermost(root).cast::<Frame<Y, I>>().as_ref() }.resume(input);
}

/// Drops what there is of the body and of its chain.
pub(crate) fn clear<Y, I, T, G: Engine<Y, I, T>>(engine: Pin<&mut G>) {
    let root = engine.whole();
    // SAFETY: the engine is pinned and held exclusively, so that no body of its chain is being polled.
    unsafe { crate::driver::clear_chain(root) }
}

#[inline]
fn stepped<Y, S, R, E, G>(
    mut engine: Pin<&mut G>,
    put: impl FnOnce(&Frame<Y, Received<S, E>>),
) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.as_mut().step(put) {
        Event::Yielded(value) => Ok(Progress::Yielded(value)),
        Event::Finished(Ok(value)) => Ok(Progress::Returned(value)),
        Event::Finished(Err(error)) => Err(error),
        Event::Waiting => Err(misuse(MisuseKind::Stalled, engine.head())),
    }
}

#[inline]
pub(crate) fn start<Y, S, R, E, G>(engine: Pin<&mut G>) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => stepped(engine, |_| ()),
        Stage::Suspended => Err(misuse(MisuseKind::AlreadyStarted, engine.head())),
        Stage::Finished | Stage::Closed => Err(misuse(MisuseKind::Exhausted, engine.head())),
    }
}

#[inline]
pub(crate) fn send<Y, S, R, E, G>(engine: Pin<&mut G>, value: S) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Suspended => stepped(engine, |frame| frame.resume(Ok(value))),
        Stage::Created => Err(misuse(MisuseKind::NotStarted, engine.head())),
        Stage::Finished | Stage::Closed => Err(misuse(MisuseKind::Exhausted, engine.head())),
    }
}

#[inline]
pub(crate) fn next<Y, S: Unsent, R, E, G>(engine: Pin<&mut G>) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => stepped(engine, |_| ()),
        _ => send(engine, S::unsent()),
    }
}

#[inline]
pub(crate) fn throw<Y, S, R, E, G>(engine: Pin<&mut G>, error: Error<E>) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Suspended if matches!(error, Error::Exit) => ended(exit(engine)),
        Stage::Suspended => stepped(engine, |frame| frame.resume(Err(error))),
        Stage::Created => {
            clear(engine);
            Err(error)
        }
        Stage::Finished | Stage::Closed => Err(error),
    }
}

fn ended<Y, R, E>(
    event: Result<Event<Y, Result<R, Error<E>>>, Error<E>>,
) -> Stepped<Y, R, Error<E>> {
    match event? {
        Event::Yielded(value) => Ok(Progress::Yielded(value)),
        Event::Finished(Ok(value)) => Ok(Progress::Returned(value)),
        Event::Finished(Err(error)) => Err(error),
        Event::Waiting => Err(Error::Misuse(Misuse::new(MisuseKind::Stalled, None))),
    }
}

/// Raises `Exit`: each delegate of the chain is closed first, from the innermost outwards, then it is raised in the body.
fn exit<Y, S, R, E, G>(mut engine: Pin<&mut G>) -> Result<Event<Y, Result<R, Error<E>>>, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    resume(engine.as_mut(), Err(Error::Exit));
    let mut closing = engine.head().innermost.get();
    match engine.as_mut().advance(None, &mut closing) {
        Event::Waiting => Err(misuse(MisuseKind::Stalled, engine.head())),
        event => Ok(event),
    }
}

pub(crate) fn close<Y, S, R, E, G>(mut engine: Pin<&mut G>) -> Result<Option<R>, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => {
            clear(engine);
            Ok(None)
        }
        Stage::Finished | Stage::Closed => Ok(None),
        Stage::Suspended => match exit(engine.as_mut())? {
            Event::Finished(Ok(value)) => Ok(Some(value)),
            Event::Finished(Err(Error::Exit)) => Ok(None),
            Event::Finished(Err(error)) => Err(error),
            Event::Yielded(_) | Event::Waiting => {
                Err(misuse(MisuseKind::IgnoredClose, engine.head()))
            }
        },
    }
}

pub(crate) fn step<Y, S: Unsent, R, E, G>(
    engine: Pin<&mut G>,
    with: Resume<S, Error<E>>,
) -> Stepped<Y, R, Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<R, Error<E>>>,
{
    match with {
        Resume::Next => next(engine),
        // Python starts a coroutine with `send(None)`.
        Resume::Send(value) if value.is_unsent() => next(engine),
        Resume::Send(value) => send(engine, value),
        Resume::Throw(error) => throw(engine, error),
    }
}

/// The same for generators, whose yields receive nothing: a generator is closed by dropping its body where it waits.
pub(crate) mod plain {
    use core::convert::Infallible;

    use super::{
        Engine, Error, Event, MisuseKind, Pin, Progress, Resume, Stage, Stepped, clear, misuse,
    };

    // Always, so that a loop over a generator holds the step itself: called, it would hand its answer through memory.
    #[inline(always)]
    pub(crate) fn item<Y, R, G: Engine<Y, (), R>>(engine: Pin<&mut G>) -> Option<Event<Y, R>> {
        match engine.head().stage.get() {
            Stage::Created => Some(engine.step(|_| ())),
            Stage::Suspended => Some(engine.step(|frame| frame.resume(()))),
            Stage::Finished | Stage::Closed => None,
        }
    }

    #[inline]
    pub(crate) fn next<Y, R, G: Engine<Y, (), R>>(
        mut engine: Pin<&mut G>,
    ) -> Stepped<Y, R, Error<Infallible>> {
        match item(engine.as_mut()) {
            Some(Event::Yielded(value)) => Ok(Progress::Yielded(value)),
            Some(Event::Finished(value)) => Ok(Progress::Returned(value)),
            Some(Event::Waiting) => Err(misuse(MisuseKind::Stalled, engine.head())),
            None => Err(misuse(MisuseKind::Exhausted, engine.head())),
        }
    }

    pub(crate) fn step<Y, R, G: Engine<Y, (), R>>(
        engine: Pin<&mut G>,
        with: Resume<(), Error<Infallible>>,
    ) -> Stepped<Y, R, Error<Infallible>> {
        match with {
            Resume::Next | Resume::Send(()) => next(engine),
            Resume::Throw(error) => {
                clear(engine);
                Err(error)
            }
        }
    }
}
