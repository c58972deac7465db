"""Callbacks: what it costs to queue one and to run it."""

import asyncio

from registry import Counter, Stopwatch, case, expect


@case("scheduling/call-soon-chain", "call_soon chain", 100_000)
async def call_soon_chain(count: int, watch: Stopwatch) -> None:
    """Each callback schedules the next, so every one is a turn of its own."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            done.set_result("end")

    with watch:
        loop.call_soon(step)
        answer = await done
    expect(answer, "end", "result of the last callback")
    expect(left, 0, "callbacks that did not run")


@case("scheduling/call-soon-queued", "call_soon, 100 k queued", 100_000)
async def call_soon_queued(count: int, watch: Stopwatch) -> None:
    """All callbacks are queued before the first one runs."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ran = Counter()
    with watch:
        for _ in range(count):
            loop.call_soon(ran.tick)
        loop.call_soon(done.set_result, None)
        await done
    ran.expect(count, "callbacks that ran before the last one")
