"""boros.compat.coroutine: the old decorator, without anything else enabled."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import warnings

import pytest

from boros.compat import coroutine


async def modern(value):
    await asyncio.sleep(0)
    return value


@coroutine
def old(value):
    yield
    return value


def test_runs_as_a_task_and_under_await(run):
    async def main():
        return (
            await old(1),
            await asyncio.ensure_future(old(2)),
            await asyncio.gather(old(3), old(4)),
        )

    assert run(main()) == (1, 2, [3, 4])


def test_runs_alone(loop):
    assert loop.run_until_complete(old(5)) == 5


def test_yields_from_everything(run):
    @coroutine
    def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        task = loop.create_task(modern("task"))
        return [
            (yield from modern("async def")),
            (yield from old("decorated")),
            (yield from future),
            (yield from task),
            (yield from asyncio.sleep(0, "sleep")),
            (yield from loop.run_in_executor(None, str, "executor")),
            (yield from asyncio.gather(old("a"), modern("b"))),
            (yield from asyncio.wait_for(old("wait_for"), 1)),
            (yield from asyncio.Future.__iter__(done(loop))),
        ]

    def done(loop):
        future = asyncio.Future(loop=loop)
        future.set_result("C future")
        return future

    async def start():
        return await main()

    assert run(start()) == [
        "async def", "decorated", "future", "task", "sleep", "executor",
        ["a", "b"], "wait_for", "C future",
    ]  # fmt: skip


def test_a_plain_generator_may_yield_from_it(run):
    def helper():
        value = yield from old("through")
        return value

    @coroutine
    def main():
        return (yield from helper())

    async def start():
        return await main()

    assert run(start()) == "through"


def test_plain_functions_are_awaited_for_what_they_return(run):
    class Awaitable:
        def __await__(self):
            yield
            return "awaitable"

    def generator():
        yield
        return "generator"

    @coroutine
    def returns(make):
        return make()

    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result("future")
        makers = [
            lambda: future,
            generator,
            Awaitable,
            lambda: modern("coroutine"),
            lambda: "value",
        ]
        return [await returns(make) for make in makers]

    assert run(main()) == ["future", "generator", "awaitable", "coroutine", "value"]


def test_exceptions_and_cancellation_pass_through(run):
    seen = []

    @coroutine
    def endless():
        try:
            yield from asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise
        finally:
            seen.append("finally")

    @coroutine
    def fails():
        yield
        raise LookupError("lost")

    async def main():
        task = asyncio.ensure_future(endless())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(LookupError, match="lost"):
            await fails()

    run(main())
    assert seen == [("enough",), "finally"]


def test_it_counts_as_a_coroutine():
    made = old(1)
    assert asyncio.iscoroutine(made) and isinstance(made, collections.abc.Coroutine)
    assert inspect.isawaitable(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert asyncio.iscoroutinefunction(old)
    assert old.__name__ == "old" and made.__qualname__ == "old"
    assert repr(made).startswith("<coroutine object old at 0x")


def test_async_functions_stay_what_they_are():
    assert coroutine(modern) is modern


def test_generator_protocol():
    @coroutine
    def echo():
        try:
            got = yield 1
            return got
        except KeyError:
            yield "caught"

    made = echo()
    assert next(made) == 1 and made.gi_frame.f_lineno == made.cr_frame.f_lineno
    with pytest.raises(StopIteration) as stopped:
        made.send("sent")
    assert stopped.value.value == "sent" and made.cr_frame is None
    made = echo()
    next(made)
    assert made.throw(KeyError("k")) == "caught"
    made.close()
    assert not made.cr_running and made.cr_await is None and made.cr_code.co_name == "echo"


def test_never_run_says_nothing():
    # As ever with generators.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old(1)
        gc.collect()


def test_methods_and_arguments(run):
    class Account:
        @coroutine
        def add(self, a, *rest, b=2, **more):
            yield
            return a, rest, b, more

        @classmethod
        @coroutine
        def kind(cls):
            yield
            return cls

    async def main():
        return await Account().add(1, 3, b=4, c=5), await Account.kind()

    assert run(main()) == ((1, (3,), 4, {"c": 5}), Account)


def test_task_stack_shows_the_generator(run):
    async def main():
        task = asyncio.ensure_future(old(1))
        await asyncio.sleep(0)
        (frame,) = task.get_stack()
        text = repr(task)
        await task
        return frame.f_code.co_name, text

    name, text = run(main())
    assert name == "old" and "coro=<old() running at" in text


def test_wrong_arguments_are_told_at_once():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        old()
