"""Threads: work that leaves the loop's thread, and wake-ups that come from others."""

import asyncio
import threading

from registry import CPU_US, WALL_US, Counter, Stopwatch, case, expect


@case("threads/executor", "run_in_executor(noop)", 5_000, (CPU_US, WALL_US))
async def executor(count: int, watch: Stopwatch) -> None:
    """To the default executor and back; processor time is that of both threads."""
    loop = asyncio.get_running_loop()
    ident = threading.get_ident
    expect(await loop.run_in_executor(None, ident) == ident(), False, "runs on the loop's thread")
    noop, last = [0].__len__, 0
    with watch:
        for _ in range(count):
            last += await loop.run_in_executor(None, noop)
    expect(last, count, "results")


@case("threads/threadsafe-own", "call_soon_threadsafe, own thread", 100_000)
async def threadsafe_own(count: int, watch: Stopwatch) -> None:
    """All calls come from the loop's own thread."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ran = Counter()
    with watch:
        for _ in range(count):
            loop.call_soon_threadsafe(ran.tick)
        loop.call_soon_threadsafe(done.set_result, None)
        await done
    ran.expect(count, "callbacks that ran before the last one")


@case("threads/threadsafe-burst", "call_soon_threadsafe, other thread", 100_000)
async def threadsafe_burst(count: int, watch: Stopwatch) -> None:
    """All calls come from one other thread while the loop waits or works."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ran = Counter()

    def burst() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(ran.tick)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=burst)
    with watch:
        thread.start()
        await done
    thread.join()
    ran.expect(count, "callbacks that ran before the last one")
