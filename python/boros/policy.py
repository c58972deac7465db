"""The event loop policy, and making boros the loop that asyncio hands out.

Python 3.14 deprecates policies and a later version is to remove them. What is
needed here is reached below the functions that warn; where there are no
policies left, :func:`install` replaces ``asyncio.new_event_loop``, which is
then all that ``asyncio.run`` and ``asyncio.Runner`` ask.
"""

from __future__ import annotations

import asyncio
import asyncio.events as _events
import threading
import warnings
from typing import Any

from boros.loop import EventLoop
from boros.runners import new_event_loop

__all__ = ("EventLoopPolicy", "install", "uninstall")


def _quietly(module: Any, name: str) -> Any:
    """*module*'s *name*, or its private twin of 3.14, without a warning; None if gone."""
    twin = getattr(module, "_" + name, None)
    if twin is not None:
        return twin
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(module, name, None)


_get_policy = _quietly(_events, "get_event_loop_policy")
_set_policy = _quietly(_events, "set_event_loop_policy")
#: False once Python has no event loop policies any more.
HAS_POLICIES = _get_policy is not None and _set_policy is not None

_Base: Any = (
    _quietly(asyncio, "DefaultEventLoopPolicy")
    or getattr(getattr(asyncio, "unix_events", None), "_DefaultEventLoopPolicy", None)
    or object
)


class EventLoopPolicy(_Base):  # type: ignore[misc]
    """Python's default policy, with boros loops in place of asyncio's.

    Each thread has its own current loop, kept apart as Python's own policy
    does; all that differs is what :meth:`new_event_loop` returns.
    """

    def _loop_factory(self) -> EventLoop:
        return new_event_loop()

    def new_event_loop(self) -> EventLoop:
        """Return a new boros event loop; it is not made the current one."""
        return self._loop_factory()


# Guards the two names below and the change of policy that goes with them.
_lock = threading.Lock()
# What install() put in place, and what was there before: policies, or, where
# Python has none, the functions called new_event_loop.
_installed: Any = None
_previous: Any = None


def current_policy() -> Any:
    """The policy in force, or None while Python has made none yet."""
    # Asking through the function would create one, to be restored later in
    # place of "none yet".
    if hasattr(_events, "_event_loop_policy"):
        return _events._event_loop_policy
    return _get_policy()


def set_policy(policy: Any) -> None:
    """Make *policy* the one in force; None lets Python make its default again."""
    _set_policy(policy)


def install() -> None:
    """Make boros the loop that ``asyncio.run`` and ``asyncio.new_event_loop`` hand out.

    Calling it again, or when an :class:`EventLoopPolicy` is in force already,
    changes nothing. Loops that exist stay what they are. Thread-safe.
    """
    global _installed, _previous
    with _lock:
        if not HAS_POLICIES:
            if _installed is None:
                _installed, _previous = new_event_loop, asyncio.new_event_loop
                asyncio.new_event_loop = _events.new_event_loop = new_event_loop
            return
        current = current_policy()
        if isinstance(current, EventLoopPolicy):
            return
        policy = EventLoopPolicy()
        set_policy(policy)
        _installed, _previous = policy, current


def uninstall() -> None:
    """Undo :func:`install`: what it replaced is in force again.

    Does nothing if boros is not installed, or if somebody has set another
    policy since, which then stays. Thread-safe.
    """
    global _installed, _previous
    with _lock:
        installed, previous = _installed, _previous
        _installed = _previous = None
        if installed is None:
            return
        if not HAS_POLICIES:
            if asyncio.new_event_loop is installed:
                asyncio.new_event_loop = previous
            if _events.new_event_loop is installed:
                _events.new_event_loop = previous
        elif current_policy() is installed:
            set_policy(previous)
