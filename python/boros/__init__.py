"""asyncio's machinery in Rust: a drop-in event loop with its own futures and tasks."""

from boros._boros import Future, Task, __version__
from boros.loop import EventLoop


def new_event_loop() -> EventLoop:
    """Return a new event loop."""
    return EventLoop()


__all__ = ["EventLoop", "Future", "Task", "__version__", "new_event_loop"]
