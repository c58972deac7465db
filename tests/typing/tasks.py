"""Futures and tasks: generic in their result, and asyncio's own to whoever asks."""

from __future__ import annotations

import asyncio
import contextvars
from typing import assert_type

import boros


async def number() -> int:
    return 1


async def text() -> str:
    return "one"


async def futures(loop: boros.EventLoop) -> None:
    future: boros.Future[int] = loop.create_future()
    own: boros.Future[int] = boros.Future(loop=loop)
    as_asyncio: asyncio.Future[int] = future
    future.set_result(1)
    own.set_exception(ValueError("none"))
    own.set_exception(ValueError)
    assert_type(future.result(), int)
    assert_type(future.exception(), BaseException | None)
    assert_type(await future, int)
    assert_type(await as_asyncio, int)
    assert_type(future.cancel(), bool)
    assert_type(future.cancel("enough"), bool)
    assert_type(future.remove_done_callback(print), int)
    future.set_result("one")  # type: ignore[arg-type]
    future.set_exception("none")  # type: ignore[arg-type]
    boros.Future(loop)  # type: ignore[call-arg]
    future.add_done_callback(lambda: None)  # type: ignore[arg-type, misc]
    future.add_done_callback(done_with_text)  # type: ignore[arg-type]


def done_with_text(future: boros.Future[str]) -> None:
    print(future.result())


def done(future: asyncio.Future[int]) -> None:
    print(future.result())


async def tasks(loop: boros.EventLoop) -> None:
    task = loop.create_task(number(), name="counting")
    assert_type(task, boros.Task[int])
    assert_type(await task, int)
    as_asyncio: asyncio.Task[int] = task
    as_future: boros.Future[int] = task
    wider: boros.Task[int | str] = task
    task.add_done_callback(done, context=contextvars.copy_context())
    assert_type(task.get_name(), str)
    assert_type(task.cancelling(), int)
    assert_type(boros.Task(text(), loop=loop), boros.Task[str])
    assert_type(loop.create_task(text(), context=contextvars.copy_context()), boros.Task[str])
    assert_type(await asyncio.gather(task, text()), tuple[int, str])
    print(as_asyncio, as_future, wider)
    loop.create_task(number)  # type: ignore[arg-type]
    loop.create_task(asyncio.sleep)  # type: ignore[arg-type]
    loop.create_task(task)  # type: ignore[arg-type]
    loop.create_task(number(), "counting")  # type: ignore[call-arg]
    loop.create_task(number(), title="counting")  # type: ignore[call-arg]
    wrong: boros.Task[str] = loop.create_task(number())  # type: ignore[arg-type]
    print(wrong)


def make_cpython_task(
    loop: asyncio.AbstractEventLoop, coro: object, **options: object
) -> asyncio.Task[int]:
    return asyncio.Task(number(), loop=loop)


async def factories(loop: boros.EventLoop) -> None:
    loop.set_task_factory(None)
    assert_type(await asyncio.create_task(number()), int)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(text()).result(), str)
    loop.set_task_factory("Task")  # type: ignore[arg-type]


class Named(boros.Task[int]):
    """A task of a program's own."""

    def greet(self) -> str:
        return f"hello, {self.get_name()}"


def greet(task: Named) -> None:
    assert_type(task.greet(), str)
    assert_type(task.result(), int)
