//! Async generators: bodies that yield and await.
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::mem;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

use crate::body::{Engine, Event};
use crate::coroutine::{BoxCoroutine, Coroutine, coroutine};
use crate::error::{Error, Misuse, MisuseKind};
use crate::frame::{Frame, Head, Signal};
use crate::handle::{Co, Handle};
use crate::protocol::{Received, clear, misuse};
use crate::state::{Stage, State};
use crate::step::Unsent;
use crate::view::View;

/// Makes an async generator of a body that both yields and awaits.
///
/// It is stepped by awaiting [`anext`](AsyncGenerator::anext) and its kin, under any executor: what the body awaits is woken
/// through the waker of whoever awaits the step. Whoever steps it pins it, on the stack or by [`boxed`](AsyncGenerator::boxed).
///
/// ```
/// use boros_coro::{BoxAsyncGenerator, async_generator};
///
/// async fn fetch(n: u32) -> u32 { n * 10 }
///
/// # async fn shown() -> Result<(), boros_coro::Error<std::convert::Infallible>> {
/// let mut pages: BoxAsyncGenerator<'_, u32> = async_generator(async |mut co| {
///     for n in 1..=3 {
///         let page = fetch(n).await;
///         co.yield_(page).await?;
///     }
///     Ok(())
/// })
/// .boxed();
/// let mut total = 0;
/// while let Some(page) = pages.anext().await? {
///     total += page;
/// }
/// assert_eq!(total, 60);
/// # Ok(()) }
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # assert_eq!(pin!(shown()).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
/// ```
pub fn async_generator<'env, Y, S, E, F, Fut>(body: F) -> AsyncGenerator<'env, Y, S, E, F, Fut>
where
    F: for<'g> AsyncFnOnce(Co<'g, 'env, Y, S, E>) -> Result<(), Error<E>>
        + FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<(), Error<E>>>,
{
    AsyncGenerator { body: coroutine(body) }
}

/// An async generator: a coroutine whose steps are awaited.
///
/// Made by [`async_generator`]. It is `Send` when its body is. A step that is dropped before it ended leaves the body where it
/// awaits; the next `anext` goes on from there, and `athrow` and `aclose` raise at the yield that the body comes to then.
#[must_use = "an async generator does nothing until it is stepped"]
pub struct AsyncGenerator<'env, Y, S, E, F, Fut> {
    body: Coroutine<'env, Y, S, (), E, F, Fut>,
}

/// The answer to a step: the value yielded, or None at the end.
type Item<Y, E> = Result<Option<Y>, Error<E>>;

impl<'env, Y, S, E, F, Fut> AsyncGenerator<'env, Y, S, E, F, Fut>
where
    F: FnOnce(Handle<'env, 'env, Y, Received<S, E>>) -> Fut,
    Fut: Future<Output = Result<(), Error<E>>>,
{
    #[inline]
    fn engine(
        self: Pin<&mut Self>,
    ) -> Pin<&mut impl Engine<Y, Received<S, E>, Result<(), Error<E>>>> {
        // SAFETY: the body is pinned with the async generator.
        unsafe { self.map_unchecked_mut(|this| &mut this.body) }.engine()
    }

    /// Moves it to one block of the heap; see [`BoxAsyncGenerator`].
    pub fn boxed<'a>(self) -> BoxAsyncGenerator<'a, Y, S, E>
    where
        'env: 'a,
        Y: 'a,
        S: 'a,
        E: 'a,
        F: 'a,
        Fut: 'a,
    {
        BoxAsyncGenerator { body: Some(self.body.boxed()), hooks: None }
    }

    /// The next value; None at the end. Starts the body if need be.
    ///
    /// # Errors
    /// What the body raises.
    pub async fn anext(self: Pin<&mut Self>) -> Item<Y, E>
    where
        S: Unsent,
    {
        anext(self.engine()).await
    }

    /// Sends a value to the yield where the body waits.
    ///
    /// # Errors
    /// What the body raises; [`NotStarted`](crate::MisuseKind::NotStarted) before the first step,
    /// [`Interrupted`](crate::MisuseKind::Interrupted) after a step that was dropped.
    pub async fn asend(self: Pin<&mut Self>, value: S) -> Item<Y, E> {
        asend(self.engine(), value).await
    }

    /// Raises an error at the yield where the body waits.
    ///
    /// # Errors
    /// What the body raises, which is this error unless the body handles it.
    pub async fn athrow(self: Pin<&mut Self>, error: impl Into<Error<E>>) -> Item<Y, E> {
        athrow(self.engine(), error.into()).await
    }

    /// Asks the body to end, which may await while it cleans up.
    ///
    /// # Errors
    /// What the body raises instead; [`IgnoredClose`](crate::MisuseKind::IgnoredClose) if it yields.
    pub async fn aclose(self: Pin<&mut Self>) -> Result<(), Error<E>> {
        aclose(self.engine()).await
    }

    /// The state.
    pub fn state(&self) -> State {
        self.body.state()
    }

    /// Where it waits, what it delegates to, what it shows.
    pub fn view(&self) -> View<'_> {
        self.body.view()
    }
}

/// A step under way: polls the body until it yields or ends.
struct Run<'a, Y, I, T, G: Engine<Y, I, T>> {
    engine: Pin<&'a mut G>,
    closing: Option<NonNull<Head>>,
    _values: core::marker::PhantomData<fn(I) -> (Y, T)>,
}

// SAFETY: the pointer is to a frame of the chain that the engine owns.
unsafe impl<Y, I, T, G: Engine<Y, I, T> + Send> Send for Run<'_, Y, I, T, G> {}

impl<'a, Y, I, T, G: Engine<Y, I, T>> Run<'a, Y, I, T, G> {
    fn new(engine: Pin<&'a mut G>, closing: Option<NonNull<Head>>) -> Self {
        Self { engine, closing, _values: core::marker::PhantomData }
    }
}

impl<Y, I, T, G: Engine<Y, I, T>> Future for Run<'_, Y, I, T, G> {
    type Output = Event<Y, T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<Y, T>> {
        let this = self.get_mut();
        match this.engine.as_mut().advance(Some(cx), &mut this.closing) {
            Event::Waiting => Poll::Pending,
            event => Poll::Ready(event),
        }
    }
}

fn item<Y, E>(event: Event<Y, Result<(), Error<E>>>) -> Item<Y, E> {
    match event {
        Event::Yielded(value) => Ok(Some(value)),
        Event::Finished(Ok(())) | Event::Waiting => Ok(None),
        Event::Finished(Err(error)) => Err(error),
    }
}

/// The innermost frame, and whether it waits at a yield; if not, the last step was dropped before it ended.
fn innermost<Y, I, T, G: Engine<Y, I, T>>(engine: Pin<&mut G>) -> (NonNull<Frame<Y, I>>, bool) {
    let root = engine.whole();
    // SAFETY: the engine is held exclusively, and its chain is alive, with the same types of value throughout.
    unsafe {
        let frame = Head::innermost(root);
        (frame.cast(), frame.as_ref().signal.get() == Signal::Taken)
    }
}

/// Raises an error in the innermost body.
fn raise<Y, S, E, T, G>(mut engine: Pin<&mut G>, error: Error<E>)
where
    G: Engine<Y, Received<S, E>, T>,
{
    let (frame, _) = innermost(engine.as_mut());
    // SAFETY: as in `innermost`.
    unsafe { frame.as_ref() }.resume(Err(error));
}

async fn anext<Y, S: Unsent, E, G>(mut engine: Pin<&mut G>) -> Item<Y, E>
where
    G: Engine<Y, Received<S, E>, Result<(), Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => {}
        Stage::Suspended => resume_waiting(engine.as_mut(), S::unsent),
        Stage::Finished | Stage::Closed => return Ok(None),
    }
    item(Run::new(engine, None).await)
}

/// Gives a body that waits at a yield a value; one that awaits goes on as it is.
fn resume_waiting<Y, S, E, T, G>(mut engine: Pin<&mut G>, value: impl FnOnce() -> S)
where
    G: Engine<Y, Received<S, E>, T>,
{
    let (frame, waits) = innermost(engine.as_mut());
    if waits {
        // SAFETY: as in `innermost`.
        unsafe { frame.as_ref() }.resume(Ok(value()));
    }
}

async fn asend<Y, S, E, G>(mut engine: Pin<&mut G>, value: S) -> Item<Y, E>
where
    G: Engine<Y, Received<S, E>, Result<(), Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => return Err(misuse(MisuseKind::NotStarted, engine.head())),
        Stage::Suspended => {
            if !innermost(engine.as_mut()).1 {
                return Err(misuse(MisuseKind::Interrupted, engine.head()));
            }
            resume_waiting(engine.as_mut(), || value);
        }
        Stage::Finished | Stage::Closed => return Ok(None),
    }
    item(Run::new(engine, None).await)
}

async fn athrow<Y, S, E, G>(mut engine: Pin<&mut G>, error: Error<E>) -> Item<Y, E>
where
    G: Engine<Y, Received<S, E>, Result<(), Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => {
            clear(engine);
            Err(error)
        }
        Stage::Suspended => {
            let closing = match error {
                Error::Exit => engine.head().innermost.get().map(Closing),
                _ => None,
            };
            raise(engine.as_mut(), error);
            item(Run::new(engine, closing.map(|Closing(frame)| frame)).await)
        }
        // Python's: an async generator that has ended answers with the end, not with the error.
        Stage::Finished | Stage::Closed => Ok(None),
    }
}

/// The frame that is asked to end first.
struct Closing(NonNull<Head>);

async fn aclose<Y, S, E, G>(mut engine: Pin<&mut G>) -> Result<(), Error<E>>
where
    G: Engine<Y, Received<S, E>, Result<(), Error<E>>>,
{
    match engine.head().stage.get() {
        Stage::Created => {
            clear(engine);
            return Ok(());
        }
        Stage::Finished | Stage::Closed => return Ok(()),
        Stage::Suspended => {}
    }
    raise(engine.as_mut(), Error::Exit);
    let run = {
        let closing = engine.head().innermost.get();
        Run::new(engine.as_mut(), closing)
    };
    match run.await {
        Event::Finished(Ok(()) | Err(Error::Exit)) => Ok(()),
        Event::Finished(Err(error)) => Err(error),
        Event::Yielded(_) | Event::Waiting => Err(misuse(MisuseKind::IgnoredClose, engine.head())),
    }
}

/// What an event loop does about async generators: it hears of their start, and ends those that were dropped half-way.
///
/// Python's `sys.set_asyncgen_hooks`.
pub trait AsyncGeneratorHooks {
    /// An async generator is about to run for the first time.
    fn first_iteration(&self, view: View<'_>) {
        let _ = view;
    }

    /// An async generator was dropped while it was suspended: `orphan`, polled to its end, has its body clean up.
    ///
    /// Dropped instead, it drops the body where it waits.
    fn finalize(&self, orphan: Orphan);
}

/// A dropped async generator on its way to its end: a future that closes it.
#[must_use = "the body cleans up only if the orphan is polled to its end"]
pub struct Orphan {
    name: &'static str,
    at: Option<&'static Location<'static>>,
    closing: Pin<Box<dyn Future<Output = Result<(), Error<String>>>>>,
}

impl Orphan {
    /// The type name of the body.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The yield at which the body waits.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.at
    }
}

impl Future for Orphan {
    /// What went wrong in the body, if something did: its own errors as their text.
    type Output = Result<(), Error<String>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.closing.as_mut().poll(cx)
    }
}

impl fmt::Debug for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orphan").field("body", &self.name).finish_non_exhaustive()
    }
}

/// The hooks, and how to make an orphan of the body, known when its types are.
struct Hooked<'a, Y, S, E> {
    hooks: Rc<dyn AsyncGeneratorHooks>,
    orphan: fn(BoxCoroutine<'a, Y, S, (), E>) -> Orphan,
}

/// An async generator of any body, in one block of the heap.
#[must_use = "an async generator does nothing until it is stepped"]
pub struct BoxAsyncGenerator<'a, Y, S = (), E = Infallible> {
    /// None when it has been handed on.
    body: Option<BoxCoroutine<'a, Y, S, (), E>>,
    hooks: Option<Hooked<'a, Y, S, E>>,
}

impl<Y: 'static, S: 'static, E: fmt::Display + 'static> BoxAsyncGenerator<'static, Y, S, E> {
    /// Has a loop told of its first step, and handed it if it is dropped while suspended.
    pub fn with_hooks(mut self, hooks: Rc<dyn AsyncGeneratorHooks>) -> Self {
        self.hooks = Some(Hooked { hooks, orphan: orphan::<Y, S, E> });
        self
    }
}

fn orphan<Y: 'static, S: 'static, E: fmt::Display + 'static>(
    mut body: BoxCoroutine<'static, Y, S, (), E>,
) -> Orphan {
    let name = (body.engine().head().vtable.name)();
    let at = body.view().location();
    let closing = Box::pin(async move {
        aclose(body.engine()).await.map_err(|error| match error {
            Error::Raised(error) => Error::Raised(error.to_string()),
            Error::Exit => Error::Exit,
            Error::Misuse(misuse) => Error::Misuse(misuse),
        })
    });
    Orphan { name, at, closing }
}

impl<'a, Y, S, E> BoxAsyncGenerator<'a, Y, S, E> {
    /// The body; one that has been handed on has ended for whoever still looks.
    fn body(&mut self) -> Result<&mut BoxCoroutine<'a, Y, S, (), E>, Error<E>> {
        if let (Some(hooked), Some(body)) = (&self.hooks, &self.body)
            && body.state() == State::Created
        {
            hooked.hooks.first_iteration(body.view());
        }
        self.body.as_mut().ok_or(Error::Misuse(Misuse::new(MisuseKind::Exhausted, None)))
    }

    /// The next value; see [`AsyncGenerator::anext`].
    ///
    /// # Errors
    /// As there.
    pub async fn anext(&mut self) -> Item<Y, E>
    where
        S: Unsent,
    {
        anext(self.body()?.engine()).await
    }

    /// Sends a value; see [`AsyncGenerator::asend`].
    ///
    /// # Errors
    /// As there.
    pub async fn asend(&mut self, value: S) -> Item<Y, E> {
        asend(self.body()?.engine(), value).await
    }

    /// Raises an error; see [`AsyncGenerator::athrow`].
    ///
    /// # Errors
    /// As there.
    pub async fn athrow(&mut self, error: impl Into<Error<E>>) -> Item<Y, E> {
        athrow(self.body()?.engine(), error.into()).await
    }

    /// Asks the body to end; see [`AsyncGenerator::aclose`].
    ///
    /// # Errors
    /// As there.
    pub async fn aclose(&mut self) -> Result<(), Error<E>> {
        aclose(self.body()?.engine()).await
    }

    /// The state.
    pub fn state(&self) -> State {
        self.body.as_ref().map_or(State::Closed, BoxCoroutine::state)
    }

    /// Where it waits, what it delegates to, what it shows.
    pub fn view(&self) -> View<'_> {
        self.body.as_ref().map_or(View::new("", State::Closed), BoxCoroutine::view)
    }
}

impl<Y, S, E> Drop for BoxAsyncGenerator<'_, Y, S, E> {
    fn drop(&mut self) {
        if self.state() == State::Suspended
            && let (Some(hooked), Some(body)) = (self.hooks.take(), mem::take(&mut self.body))
        {
            hooked.hooks.finalize((hooked.orphan)(body));
        }
    }
}

impl<Y, S, E> fmt::Debug for BoxAsyncGenerator<'_, Y, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("BoxAsyncGenerator");
        self.view().fields(&mut out);
        out.finish()
    }
}
