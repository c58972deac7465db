"""Futures and what asyncio builds on them: one task waits for what another one does."""

import asyncio

from registry import Stopwatch, case, expect


@case("futures/ping-pong", "future ping-pong", 30_000)
async def ping_pong(count: int, watch: Stopwatch) -> None:
    """Two tasks; per round trip two futures are made, set and awaited."""
    loop = asyncio.get_running_loop()
    ball = back = loop.create_future()

    async def pong() -> None:
        nonlocal ball
        for _ in range(count):
            number = await ball
            ball = loop.create_future()
            back.set_result(number + 1)

    player = asyncio.create_task(pong())
    await asyncio.sleep(0)
    number = 0
    with watch:
        for _ in range(count):
            back = loop.create_future()
            ball.set_result(number)
            number = await back
    await player
    expect(number, count, "round trips")


@case("futures/event", "Event ping-pong", 30_000)
async def event(count: int, watch: Stopwatch) -> None:
    """Two tasks wake each other through two events."""
    ping, pong = asyncio.Event(), asyncio.Event()
    trips = 0

    async def player() -> None:
        nonlocal trips
        for _ in range(count):
            await ping.wait()
            ping.clear()
            trips += 1
            pong.set()

    task = asyncio.create_task(player())
    await asyncio.sleep(0)
    with watch:
        for _ in range(count):
            ping.set()
            await pong.wait()
            pong.clear()
    await task
    expect(trips, count, "round trips")


@case("futures/queue", "Queue(1) hand-over", 30_000)
async def queue(count: int, watch: Stopwatch) -> None:
    """One task puts, one gets; there is room for one item between them."""
    items: asyncio.Queue[int] = asyncio.Queue(1)

    async def producer() -> None:
        for number in range(count):
            await items.put(number)

    with watch:
        task = asyncio.create_task(producer())
        got = [await items.get() for _ in range(count)]
        await task
    expect(got, list(range(count)), "items")


@case("futures/lock", "Lock, 100 tasks", 30_000)
async def lock(count: int, watch: Stopwatch) -> None:
    """Per acquisition of a lock that a hundred tasks hold across a turn each."""
    mutex = asyncio.Lock()
    inside = worst = total = 0

    async def holder() -> None:
        nonlocal inside, worst, total
        for _ in range(count // 100):
            async with mutex:
                inside += 1
                worst = max(worst, inside)
                await asyncio.sleep(0)
                total += 1
                inside -= 1

    with watch:
        await asyncio.gather(*(holder() for _ in range(100)))
    expect(worst, 1, "holders at once")
    expect(total, count, "acquisitions")
