"""The scheduler of plain generators, and code of the years of ``yield from``."""

from __future__ import annotations

import contextvars
from collections.abc import Generator
from typing import Literal, assert_type

import boros
from boros.scheduler import Step, sleep


def countdown(start: int) -> Generator[object, None, str]:
    while start:
        yield from sleep(0.1)
        start -= 1
    return "lift-off"


async def coroutine() -> None:
    pass


def watch(step: Step) -> None:
    assert_type(step.task, int)
    assert_type(step.outcome, Literal["yielded", "sleeping", "returned", "raised"])
    assert_type(step.duration, float)
    if step.outcome == "finished":  # type: ignore[comparison-overlap]
        print(step)


def schedule() -> None:
    scheduler = boros.Scheduler(trace=watch, blocking_threshold=0.1, on_blocking=print)
    assert_type(scheduler.add(countdown(3), context=contextvars.copy_context()), int)
    scheduler.add(iter([1, 2, 3]))
    assert_type(scheduler.failures, dict[int, BaseException])
    assert_type(scheduler.executable_tasks[0].id, int)
    scheduler.run_until_complete()
    boros.Scheduler(trace=True)
    boros.Scheduler(True)  # type: ignore[call-arg]
    boros.Scheduler(trace=3)  # type: ignore[arg-type]
    boros.Scheduler(on_blocking=schedule)  # type: ignore[arg-type]
    scheduler.add(coroutine())  # type: ignore[arg-type]
    scheduler.add(countdown)  # type: ignore[arg-type]
    scheduler.results = {}  # type: ignore[misc]
    sleep("long")  # type: ignore[arg-type]


@boros.compat.coroutine
def old_code() -> Generator[object, None, int]:
    yield None
    return 1


def enable() -> None:
    boros.compat.enable()
    boros.compat.disable()
    boros.compat.coroutine(3)  # type: ignore[arg-type]
