"""What becomes of the loops of a process when it forks, and when it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING

from boros._boros import park_other_threads

if TYPE_CHECKING:
    from boros.loop import EventLoop

__all__ = ["loops"]

#: The loops of this process.
loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()

#: Seconds that the end of the process waits for callbacks and steps in daemon threads.
LONGEST_STEP_AT_END = 0.2


def close_in_child() -> None:
    """In a process that was forked: close the copies of the parent's loops."""
    for event_loop in list(loops):
        event_loop._after_fork()
        event_loop._forget_signals()


def stop_other_threads() -> None:
    """Stop the loops of daemon threads, before the interpreter ends these threads in the middle of something.

    Registered before there is any loop, so what a program wants done at its end is done before.
    """
    park_other_threads()
    deadline = time.monotonic() + LONGEST_STEP_AT_END
    # Another thread may just be making a loop.
    with contextlib.suppress(RuntimeError):
        while time.monotonic() < deadline and any(
            event_loop.is_running() and not event_loop._is_at_rest() for event_loop in list(loops)
        ):
            time.sleep(0.0005)


os.register_at_fork(after_in_child=close_in_child)
if sys.version_info < (3, 14):
    # Later, the interpreter stops them itself.
    atexit.register(stop_other_threads)
