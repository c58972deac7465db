"""Random programs, run on both loops: what happens, and in which order, has to be the same.

A program is a few tasks that do random things to each other and to shared futures. It knows no time and no input, so
on asyncio's loop it always runs the same way; each thing that happens is noted.
"""

from __future__ import annotations

import asyncio
import contextvars
import random

import pytest

import boros

var = contextvars.ContextVar("var", default=None)
STEPS = 12


class Odd(Exception):
    pass


class Program:
    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.random = random.Random(seed)
        self.loop = loop
        self.trace: list[object] = []
        self.futures = [loop.create_future() for _ in range(4)]
        self.tasks: list[asyncio.Task] = []
        self.number = 0

    def note(self, *what: object) -> None:
        task = asyncio.current_task(self.loop)
        name = task.get_name() if task is not None else None
        self.trace.append((name, var.get(), *what))

    def future(self) -> asyncio.Future:
        index = self.random.randrange(len(self.futures))
        if self.futures[index].done() and self.random.random() < 0.7:
            self.futures[index] = self.loop.create_future()
        return self.futures[index]

    def task(self) -> asyncio.Task:
        return self.random.choice(self.tasks)

    def spawn(self, depth: int) -> asyncio.Task:
        self.number += 1
        name = f"t{self.number}"
        task = self.loop.create_task(self.run(depth), name=name)
        task.add_done_callback(lambda done: self.note("done", done.get_name(), self.outcome(done)))
        self.tasks.append(task)
        return task

    def outcome(self, future: asyncio.Future) -> str:
        if not future.done():
            return "pending"
        if future.cancelled():
            try:
                future.result()
            except asyncio.CancelledError as failure:
                return f"cancelled {failure.args}"
        failure = future.exception()
        return repr(failure) if failure is not None else f"result {future.result()}"

    async def run(self, depth: int) -> int:
        var.set(self.random.randrange(100))
        self.note("begin")
        try:
            for step in range(self.random.randrange(1, STEPS)):
                try:
                    await self.step(depth, step)
                except asyncio.CancelledError as failure:
                    self.note("cancelled", failure.args, asyncio.current_task().cancelling())
                    if self.random.random() < 0.5:
                        raise
                    if self.random.random() < 0.5:
                        asyncio.current_task().uncancel()
                except (Odd, asyncio.InvalidStateError, RuntimeError, TimeoutError) as failure:
                    self.note("caught", type(failure).__name__)
            if self.random.random() < 0.2:
                raise Odd(self.number)
            return self.random.randrange(100)
        finally:
            self.note("end")

    async def step(self, depth: int, step: int) -> None:
        choice = self.random.randrange(16)
        self.note("step", choice)
        if choice == 0:
            await asyncio.sleep(0)
        elif choice == 1 and depth:
            self.spawn(depth - 1)
        elif choice == 2 and depth:
            self.note("got", await self.spawn(depth - 1))
        elif choice == 3:
            future = self.future()
            if not future.done():
                future.set_result(self.random.randrange(100))
        elif choice == 4:
            future = self.future()
            if not future.done():
                future.set_exception(Odd("set"))
                future.exception()
        elif choice == 5:
            # Somebody has to finish it, or it would be waited for until the end.
            future = self.future()
            self.loop.call_soon(self.finish, future)
            self.note("got", await future)
        elif choice == 6:
            self.note("cancel", self.task().cancel(f"by {self.number}"))
        elif choice == 7:
            self.note("cancel future", self.future().cancel("future"))
        elif choice == 8:
            self.future().add_done_callback(lambda f: self.note("callback", self.outcome(f)))
        elif choice == 9:
            self.loop.call_soon(self.note, "soon", step)
        elif choice == 10 and depth:
            children = [self.spawn(depth - 1) for _ in range(self.random.randrange(3))]
            results = await asyncio.gather(*children, return_exceptions=True)
            self.note("gathered", [repr(result) for result in results])
        elif choice == 11 and depth:
            self.note("shielded", await asyncio.shield(self.spawn(depth - 1)))
        elif choice == 12 and depth:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
                    if self.random.random() < 0.3:
                        raise Odd("in group")
                    await asyncio.sleep(0)
            except BaseExceptionGroup as failures:
                self.note("group", [repr(failure) for failure in failures.exceptions])
        elif choice == 13:
            handle = self.loop.call_soon(self.note, "never")
            self.loop.call_soon(self.note, "after never")
            handle.cancel()
            await asyncio.sleep(0)
        elif choice == 14:
            task = self.task()
            if task is not asyncio.current_task() and not task.done():
                done, _ = await asyncio.wait(
                    [task, self.finished_soon()], return_when="FIRST_COMPLETED"
                )
                self.note("waited", len(done))
        else:
            context = contextvars.copy_context()
            context.run(var.set, "elsewhere")
            self.loop.call_soon(self.note, "in context", context=context)

    def finished_soon(self) -> asyncio.Future:
        future = self.loop.create_future()
        self.loop.call_soon(self.finish, future)
        return future

    def finish(self, future: asyncio.Future) -> None:
        self.note("finish", future.done())
        if not future.done():
            future.set_result(self.random.randrange(100))

    async def main(self) -> None:
        for _ in range(3):
            self.spawn(2)
        turns = 0
        while any(not task.done() for task in self.tasks):
            await asyncio.sleep(0)
            turns += 1
            if turns % 50 == 0:
                # What waits for something that never comes.
                for task in list(self.tasks):
                    task.cancel("end")
        await asyncio.sleep(0)
        self.trace.append(("turns", turns))


def trace_of(seed: int, loop: asyncio.AbstractEventLoop, reports: list) -> list[object]:
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
    program = Program(seed, loop)
    try:
        loop.run_until_complete(loop.create_task(program.main(), name="main"))
        for task in program.tasks:
            task.cancelled() or task.exception()
        for future in program.futures:
            future.cancel()
    finally:
        loop.close()
    return program.trace


@pytest.mark.timeout(120)
@pytest.mark.parametrize("block", range(6))
def test_traces_are_the_same(block):
    for seed in range(block * 100, (block + 1) * 100):
        reports: tuple[list, list] = ([], [])
        expected = trace_of(seed, asyncio.SelectorEventLoop(), reports[0])
        got = trace_of(seed, boros.new_event_loop(), reports[1])
        for number, (theirs, ours) in enumerate(zip(expected, got, strict=False)):
            assert ours == theirs, (seed, number, expected[max(0, number - 5) : number])
        assert len(got) == len(expected), seed
        assert reports[0] == reports[1], seed


@pytest.mark.timeout(120)
def test_traces_are_the_same_with_a_factory_of_tasks():
    """CPython's own tasks on our loop, and ours on asyncio's."""
    for seed in range(1000, 1100):
        traces = []
        for make, cls in (
            (asyncio.SelectorEventLoop, asyncio.Task),
            (boros.new_event_loop, asyncio.Task),
            (asyncio.SelectorEventLoop, boros.Task),
        ):
            loop = make()
            loop.set_task_factory(
                lambda loop, coro, cls=cls, **kwargs: cls(coro, loop=loop, **kwargs)
            )
            traces.append(trace_of(seed, loop, []))
        assert traces[1] == traces[0], seed
        assert traces[2] == traces[0], seed


@pytest.mark.timeout(120)
def test_traces_are_the_same_in_debug_mode():
    for seed in range(2000, 2030):
        traces = []
        for make in (asyncio.SelectorEventLoop, boros.new_event_loop):
            loop = make()
            loop.set_debug(True)
            loop.slow_callback_duration = 100
            traces.append(trace_of(seed, loop, []))
        assert traces[1] == traces[0], seed
