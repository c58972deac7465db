"""Loops with overridden methods, and loops whose methods were replaced: what stands in has to be asked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from unittest import mock

import pytest

import boros


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture
def base(loop_kind):
    return asyncio.SelectorEventLoop if loop_kind == "asyncio" else boros.EventLoop


async def program():
    """A bit of everything that schedules."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    loop.call_soon(future.set_result, 1)
    await future

    async def child():
        await asyncio.sleep(0)
        return 2

    assert await asyncio.create_task(child()) == 2
    assert await asyncio.gather(child(), child()) == [2, 2]
    return "done"


def test_call_soon(base):
    calls = []

    class Mine(base):
        def call_soon(self, callback, *args, context=None):
            calls.append(callback)
            return super().call_soon(callback, *args, context=context)

    loop = Mine()
    assert loop.run_until_complete(program()) == "done"
    # main: start, sleep, wake; the callback; set_result; three children with two steps and a wake-up each.
    assert len(calls) >= 14
    before = len(calls)
    future = loop.create_future()
    future.add_done_callback(print)
    future.remove_done_callback(print)
    future.add_done_callback(calls.append)
    future.set_result(None)
    assert len(calls) == before + 1 and calls[-1] == calls.append
    turn(loop)
    assert calls[-1] is future
    loop.close()


def test_call_soon_is_asked_as_often_as_in_asyncio():
    counts = []
    for base in (asyncio.SelectorEventLoop, boros.EventLoop):
        count = 0

        class Mine(base):
            def call_soon(self, callback, *args, context=None):
                nonlocal count
                count += 1
                return super().call_soon(callback, *args, context=context)

        loop = Mine()
        loop.run_until_complete(program())
        counts.append(count)
        loop.close()
    assert counts[0] == counts[1]


def test_contexts_are_handed_to_an_overridden_call_soon(base):
    import contextvars

    var = contextvars.ContextVar("var", default=0)
    seen = []

    class Mine(base):
        def call_soon(self, callback, *args, context=None):
            if context is not None:
                seen.append(context.get(var, 0))
            return super().call_soon(callback, *args, context=context)

    async def main():
        var.set(5)
        await asyncio.sleep(0)
        assert var.get() == 5

    loop = Mine()
    loop.run_until_complete(main())
    loop.close()
    assert 5 in seen


def test_an_overridden_call_soon_that_delays(base):
    """Programs for tests reorder callbacks this way."""

    class Mine(base):
        def call_soon(self, callback, *args, context=None):
            return self.call_later(0, callback, *args, context=context)

    loop = Mine()
    assert loop.run_until_complete(program()) == "done"
    loop.close()


def test_call_at_is_asked_by_call_later(base):
    calls = []

    class Mine(base):
        def call_at(self, when, callback, *args, context=None):
            calls.append(when)
            return super().call_at(when, callback, *args, context=context)

    loop = Mine()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.call_later(-5, print).cancel()
    loop.close()
    assert len(calls) == 2


def test_call_later(base):
    calls = []

    class Mine(base):
        def call_later(self, delay, callback, *args, context=None):
            calls.append(delay)
            return super().call_later(0, callback, *args, context=context)

    loop = Mine()
    start = time.monotonic()
    loop.run_until_complete(asyncio.sleep(100))
    assert calls == [100] and time.monotonic() - start < 5
    loop.close()


def test_time(base):
    """A loop whose clock is its own."""

    class Mine(base):
        now = 1000.0

        def time(self):
            return self.now

    loop = Mine()
    done = []
    handle = loop.call_later(5, done.append, 1)
    assert handle.when() == 1005.0
    loop.call_at(1004, done.append, 0)
    turn(loop)
    assert done == []
    loop.now = 1004.5
    turn(loop)
    assert done == [0]
    loop.now = 1e6
    turn(loop)
    assert done == [0, 1]

    async def main():
        task = asyncio.create_task(asyncio.sleep(3600, "slept"))
        await asyncio.sleep(0)
        loop.now += 3601
        return await task

    assert loop.run_until_complete(main()) == "slept"
    loop.close()


def test_create_task_and_create_future(base):
    made = []

    class Mine(base):
        def create_task(self, coro, **kwargs):
            made.append("task")
            return super().create_task(coro, **kwargs)

        def create_future(self):
            made.append("future")
            return super().create_future()

    loop = Mine()
    loop.run_until_complete(program())
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    assert made.count("task") == 5
    assert made.count("future") >= 2


def test_methods_of_ones_own(base):
    class Mine(base):
        def __init__(self, number):
            super().__init__()
            self.number = number

        async def double(self):
            await asyncio.sleep(0)
            return self.number * 2

    loop = Mine(21)
    assert loop.run_until_complete(loop.double()) == 42
    loop.close()
    assert "Mine" in repr(loop)


def test_close_and_run_forever_are_asked(base):
    calls = []

    class Mine(base):
        def run_forever(self):
            calls.append("run_forever")
            super().run_forever()

        def stop(self):
            calls.append("stop")
            super().stop()

        def close(self):
            calls.append("close")
            super().close()

    loop = Mine()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert calls == ["run_forever", "stop", "close"]


@pytest.mark.parametrize(
    "method", ["call_soon", "call_later", "call_at", "time", "create_task", "create_future"]
)
def test_replaced_in_the_object(loop, method):
    original = getattr(loop, method)
    with mock.patch.object(loop, method, side_effect=original) as replaced:
        assert loop.run_until_complete(program()) == "done"
        loop.run_until_complete(asyncio.sleep(0.001))
    assert replaced.called
    count = replaced.call_count
    loop.run_until_complete(asyncio.sleep(0.001))
    assert replaced.call_count == count
    assert loop.time() > 0


def test_replaced_while_it_runs(loop):
    async def main():
        with mock.patch.object(loop, "call_soon", side_effect=loop.call_soon) as replaced:
            await asyncio.sleep(0)
            await asyncio.create_task(asyncio.sleep(0))
        assert replaced.call_count == 4
        await asyncio.sleep(0)
        assert replaced.call_count == 4

    loop.run_until_complete(main())


def test_call_soon_replaced_by_something_else(loop):
    future = loop.create_future()
    future.add_done_callback(print)
    seen = []
    loop.call_soon = lambda *args, **kwargs: seen.append((args, kwargs))
    future.set_result(1)
    del loop.call_soon
    ((args, kwargs),) = seen
    assert args == (print, future) and list(kwargs) == ["context"]


def test_time_replaced_in_the_object(loop):
    now = 5.0
    done = []
    loop.time = lambda: now
    handle = loop.call_later(10, done.append, 1)
    assert handle.when() == 15
    turn(loop)
    now = 16.0
    turn(loop)
    assert done == [1]
    del loop.time


def test_replaced_in_the_class(base):
    loop = base()
    calls = []
    original = base.call_soon

    def call_soon(self, callback, *args, context=None):
        calls.append(callback)
        return original(self, callback, *args, context=context)

    with mock.patch.object(base, "call_soon", call_soon):
        assert loop.run_until_complete(program()) == "done"
    assert len(calls) >= 14
    before = len(calls)
    assert loop.run_until_complete(program()) == "done"
    assert len(calls) == before
    loop.close()


def test_attributes_of_a_loop(loop):
    loop.note = 5
    assert loop.note == 5
    del loop.note
    with pytest.raises(AttributeError):
        _ = loop.note
    with pytest.raises(AttributeError):
        del loop.note
    import weakref

    assert weakref.ref(loop)() is loop
    assert hash(loop) == hash(loop) and loop == loop
    assert loop in {loop: 1}


def test_mixins(base):
    class Mixin:
        def call_soon(self, callback, *args, context=None):
            self.count = getattr(self, "count", 0) + 1
            return super().call_soon(callback, *args, context=context)

    class Mine(Mixin, base):
        pass

    loop = Mine()
    loop.run_until_complete(program())
    assert loop.count >= 14
    loop.close()


def test_an_init_that_is_not_called():
    class Mine(boros.EventLoop):
        def __init__(self):
            pass

    loop = Mine()
    with contextlib.suppress(AttributeError):
        loop.run_until_complete(loop.create_future())
    with contextlib.suppress(AttributeError):
        loop.close()
    loop._close()


def test_an_exception_out_of_an_overridden_call_soon(base, reports):
    class Mine(base):
        broken = False

        def call_soon(self, callback, *args, context=None):
            if self.broken:
                raise ZeroDivisionError
            return super().call_soon(callback, *args, context=context)

    loop = Mine()
    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    loop.broken = True
    with pytest.raises(ZeroDivisionError):
        future.set_result(1)
    assert future.result() == 1
    coroutine = asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        task = loop.create_task(coroutine)
        del task
    coroutine.close()
    loop.broken = False
    loop.close()


# Futures and tasks with overridden methods


def test_a_future_class_of_ones_own(loop):
    calls = []

    class Mine(boros.Future):
        def add_done_callback(self, callback, *, context=None):
            calls.append("add")
            super().add_done_callback(callback, context=context)

        def result(self):
            calls.append("result")
            return super().result()

        def cancel(self, msg=None):
            calls.append("cancel")
            return super().cancel(msg)

    async def main():
        future = Mine(loop=loop)
        loop.call_soon(future.set_result, 3)
        assert await future == 3
        assert "add" in calls
        future = Mine()
        task = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "cancel" in calls

    async def wait(future):
        await future

    loop.run_until_complete(main())


def test_a_task_class_of_ones_own(loop):
    class Mine(boros.Task):
        def __init__(self, coro, **kwargs):
            self.born = True
            super().__init__(coro, **kwargs)

        def cancel(self, msg=None):
            self.asked = msg
            return super().cancel(msg)

    loop.set_task_factory(lambda loop, coro, **kwargs: Mine(coro, loop=loop, **kwargs))

    async def child():
        await asyncio.sleep(100)

    async def main():
        task = asyncio.create_task(child(), name="n")
        assert type(task) is Mine and task.born and task.get_name() == "n"
        assert isinstance(task, asyncio.Task)
        await asyncio.sleep(0)
        outer = asyncio.create_task(wait(task))
        await asyncio.sleep(0)
        outer.cancel("through")
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert task.asked == "through" and task.cancelled()
        assert repr(task).startswith("<Mine ")

    async def wait(task):
        await task

    loop.run_until_complete(main())
    loop.set_task_factory(None)
