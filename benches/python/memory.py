"""Resident memory per sleeping task; that of idle connections is in network.py."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import loops
from registry import Metric, expect

KIB = Metric("bytes", "KiB", 1024.0, 2)
PAGE = os.sysconf("SC_PAGE_SIZE")
SLEEPERS = 50_000


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory now."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * PAGE


async def sleeping_task() -> float:
    """Bytes per task that waits in asyncio.sleep."""
    tasks: list[asyncio.Task[None]] = []

    async def spawn(count: int) -> int:
        tasks.extend(asyncio.create_task(asyncio.sleep(3600)) for _ in range(count))
        await asyncio.sleep(0)
        gc.collect()
        return resident()

    # The first tasks bring the allocators and the loop's tables up.
    before = await spawn(SLEEPERS // 10)
    after = await spawn(SLEEPERS)
    expect(len(asyncio.all_tasks()), len(tasks) + 1, "tasks alive")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return (after - before) / SLEEPERS


@dataclass(frozen=True, slots=True)
class MemoryCase:
    """A case that answers bytes instead of taking time."""

    name: str
    title: str
    body: Callable[[], Coroutine[Any, Any, float]]
    metrics: tuple[Metric, ...] = (KIB,)
    full_only: bool = False


CASES = {
    case.name: case for case in [MemoryCase("memory/sleeping-task", "sleeping task", sleeping_task)]
}


def measure(name: str, make_loop: loops.Factory) -> dict[str, float]:
    """To be called in a fresh process: memory that was once used is not given back."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return {"bytes": runner.run(CASES[name].body())}
