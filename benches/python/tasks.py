"""Tasks: stepping them, making them, waiting for many."""

import asyncio

from registry import Stopwatch, case, expect


async def trivial(number: int) -> int:
    return number


@case("tasks/sleep-zero", "await sleep(0)", 100_000)
async def sleep_zero(count: int, watch: Stopwatch) -> None:
    """One task that gives way again and again."""
    others: list[None] = []
    asyncio.get_running_loop().call_soon(others.append, None)
    await asyncio.sleep(0)
    expect(others, [None], "callbacks that run during sleep(0)")
    sleep, answers = asyncio.sleep, 0
    with watch:
        for _ in range(count):
            answers += await sleep(0, 1)
    expect(answers, count, "results of sleep")


@case("tasks/create", "create_task + await", 30_000)
async def create(count: int, watch: Stopwatch) -> None:
    """A task for a coroutine that returns at once."""
    total = 0
    with watch:
        for number in range(count):
            total += await asyncio.create_task(trivial(number))
    expect(total, count * (count - 1) // 2, "sum of the results")


@case("tasks/gather", "gather of 10 k tasks × 10 sleep(0)", 100_000)
async def gather(count: int, watch: Stopwatch) -> None:
    """Per step, when ten thousand tasks take turns."""

    async def sleeper(number: int) -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        return number

    with watch:
        answers = await asyncio.gather(*(sleeper(number) for number in range(count // 10)))
    expect(answers, list(range(count // 10)), "results of the tasks")


@case("tasks/group-spawn", "TaskGroup spawn", 20_000)
async def group_spawn(count: int, watch: Stopwatch) -> None:
    """Per task of a group of ten thousand, from its creation to the end of the group."""
    total = 0
    with watch:
        for _ in range(count // 10_000):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(trivial(number)) for number in range(10_000)]
            total += sum(task.result() for task in tasks)
    expect(total, (count // 10_000) * sum(range(10_000)), "sum of the results")
