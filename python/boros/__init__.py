"""asyncio's machinery in Rust: a drop-in event loop with its own futures and tasks."""

from boros import compat, scheduler
from boros._boros import Future, Task, __version__
from boros.loop import EventLoop
from boros.policy import EventLoopPolicy, install, uninstall
from boros.runners import new_event_loop, run
from boros.scheduler import Scheduler

__all__ = [
    "EventLoop",
    "EventLoopPolicy",
    "Future",
    "Scheduler",
    "Task",
    "__version__",
    "compat",
    "install",
    "new_event_loop",
    "run",
    "scheduler",
    "uninstall",
]
