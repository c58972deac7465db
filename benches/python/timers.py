"""Timers: those that fire and, far more often, those that do not."""

import asyncio
import random

from registry import CPU, WALL, Stopwatch, case, expect


@case("timers/due", "100 k timers due within 50 ms", 100_000, (CPU, WALL))
async def due(count: int, watch: Stopwatch) -> None:
    """Processor time is what counts: the wall clock cannot show less than 50 ms."""
    loop = asyncio.get_running_loop()
    disorder = random.Random(1)
    delays = [disorder.uniform(0.0, 0.05) for _ in range(count)]
    late: list[float] = []
    done = loop.create_future()
    clock = loop.time

    def fire(deadline: float) -> None:
        late.append(clock() - deadline)
        if len(late) == count:
            done.set_result(None)

    with watch:
        begin = clock()
        for delay in delays:
            loop.call_at(begin + delay, fire, begin + delay)
        await done
    # Loops round deadlines to milliseconds; more than one is not rounding.
    expect(min(late) > -0.0011, True, "no timer fires before its time")


@case("timers/schedule-cancel", "timer schedule + cancel", 100_000)
async def schedule_cancel(count: int, watch: Stopwatch) -> None:
    """A timeout that is not needed in the end; the loop turns once per thousand of them."""
    loop = asyncio.get_running_loop()
    fired: list[None] = []
    cancelled = 0
    with watch:
        for _ in range(count // 1000):
            for _ in range(1000):
                handle = loop.call_later(30.0, fired.append, None)
                handle.cancel()
            await asyncio.sleep(0)
            cancelled += handle.cancelled()
    expect(cancelled, count // 1000, "cancelled handles")
    expect(fired, [], "cancelled timers that fired")


@case("timers/timeout", "asyncio.timeout enter/exit", 50_000)
async def timeout(count: int, watch: Stopwatch) -> None:
    """`async with asyncio.timeout(...)` around something that does not wait."""
    entered = 0
    with watch:
        for _ in range(count):
            async with asyncio.timeout(30.0):
                entered += 1
    expect(entered, count, "blocks entered")
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(30)
    except TimeoutError:
        return
    expect("slept on", "TimeoutError", "a timeout that is over")


@case("timers/wait-for", "wait_for(sleep(0))", 30_000)
async def wait_for(count: int, watch: Stopwatch) -> None:
    """wait_for around a coroutine that is done after one turn."""
    answers = 0
    with watch:
        for _ in range(count):
            answers += await asyncio.wait_for(asyncio.sleep(0, 1), 30.0)
    expect(answers, count, "results of the coroutines")
