"""Making boros loops, and running one coroutine to its end on one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from boros.loop import EventLoop

__all__ = ("new_event_loop", "run")

_T = TypeVar("_T")


def new_event_loop() -> EventLoop:
    """Return a new boros event loop, not yet current in any thread.

    May be called from any thread. Usable wherever a loop factory is asked for:
    ``asyncio.run(main(), loop_factory=boros.new_event_loop)``.
    """
    return EventLoop()


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """Run *main* on a new boros loop, close the loop and return the result.

    Behaves as the running Python's own ``asyncio.run``: it raises the same
    errors (a nested run is a RuntimeError; what is not a coroutine is a
    ValueError, or a TypeError where Python says so), accepts awaitables where
    Python does, turns the first Ctrl-C into a cancellation of *main*, cancels
    what is left at the end, and shuts down asynchronous generators and the
    default executor. *loop_factory* defaults to :func:`new_event_loop`, also on
    3.11, whose ``asyncio.run`` has no such parameter. The thread's current
    event loop, as ``asyncio.set_event_loop`` set it, stays what it was.
    """
    if loop_factory is None:
        loop_factory = new_event_loop
    if sys.version_info >= (3, 12):
        return asyncio.run(main, debug=debug, loop_factory=loop_factory)
    if asyncio._get_running_loop() is not None:
        # What the 3.11 function says; its Runner would say it of itself.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
