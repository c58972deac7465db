"""Plain generators as tasks, taking turns: the scheduler, and sleeping in it.

::

    def countdown(n):
        while n:
            yield from boros.scheduler.sleep(1)
            n -= 1

    scheduler = boros.Scheduler()
    task = scheduler.add(countdown(3))
    scheduler.run_until_complete()
    scheduler.results[task]
"""

from __future__ import annotations

from boros._boros import ScheduledTask, Scheduler, Step
from boros._boros import scheduler_sleep as sleep

__all__ = ("ScheduledTask", "Scheduler", "Step", "sleep")
