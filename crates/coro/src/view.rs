//! What can be seen of a generator or coroutine from outside.
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::ptr::NonNull;

use crate::frame::{Head, Signal};
use crate::state::State;

/// A look at a generator or coroutine at rest: its state, where it waits, what it delegates to, what it shows.
///
/// Python's `gi_frame`, `gi_yieldfrom` and `inspect.getgeneratorlocals` in one.
#[derive(Clone, Copy)]
pub struct View<'a> {
    name: &'a str,
    state: State,
    head: Option<&'a Head>,
    _look: PhantomData<&'a ()>,
}

impl<'a> View<'a> {
    /// A view of something that is stepped but has no more to show.
    #[must_use]
    pub fn new(name: &'a str, state: State) -> Self {
        Self { name, state, head: None, _look: PhantomData }
    }

    pub(crate) fn of(head: &'a Head) -> Self {
        let name = (head.vtable.name)();
        Self { name, state: head.stage.get().into(), head: Some(head), _look: PhantomData }
    }

    /// The type name of the body: module, function, `{{closure}}`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The yield at which the body waits: file, line and column.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.suspended()?.at.get()
    }

    /// What the body delegates to with `yield_from`.
    #[must_use]
    pub fn delegate(&self) -> Option<View<'a>> {
        let head = self.suspended()?;
        let child: NonNull<Head> =
            head.delegate.get().filter(|_| head.signal.get() == Signal::Linked)?;
        // SAFETY: a linked child is alive and pinned as long as its parent's body, which cannot run while it is looked at.
        Some(View::of(unsafe { child.as_ref() }))
    }

    /// The values that the body shows under names, in the order of their first showing.
    pub fn exposed(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        // SAFETY: the body, which alone writes to it, cannot run while it is looked at.
        let exposed = self.suspended().and_then(|head| unsafe { (*head.exposed.get()).as_deref() });
        exposed.into_iter().flatten().map(|(name, text)| (*name, text.as_str()))
    }

    fn suspended(&self) -> Option<&'a Head> {
        self.head.filter(|_| self.state == State::Suspended)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("View");
        self.fields(&mut out);
        out.finish()
    }
}

impl View<'_> {
    /// Writes what there is to see as fields.
    pub(crate) fn fields(&self, out: &mut fmt::DebugStruct<'_, '_>) {
        out.field("body", &format_args!("{}", self.name));
        out.field("state", &self.state);
        if let Some(at) = self.location() {
            out.field("at", &format_args!("{}:{}", at.file(), at.line()));
        }
        for (name, text) in self.exposed() {
            out.field(name, &format_args!("{text}"));
        }
        // Only the next one: a chain may be longer than the stack is deep.
        if let Some(delegate) = self.delegate() {
            out.field("delegate", &format_args!("{}", delegate.name()));
        }
    }
}
