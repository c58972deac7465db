"""Eager tasks: started in the call that makes them (Python 3.12 and later)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import types

import pytest

import boros

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")

var = contextvars.ContextVar("var", default="unset")


@types.coroutine
def once():
    yield


@pytest.fixture(params=["asyncio.Task", "boros.Task"])
def eager(request, loop):
    cls = asyncio.Task if request.param == "asyncio.Task" else boros.Task
    loop.set_task_factory(asyncio.create_eager_task_factory(cls))
    yield loop
    loop.set_task_factory(None)


def test_what_never_waits_is_done_at_once(eager):
    async def work():
        return 5

    async def main():
        task = asyncio.create_task(work())
        assert task.done() and task.result() == 5
        if isinstance(task, boros.Task) or sys.version_info >= (3, 13):
            # Asking CPython's own task ends the process in Python 3.12.1.
            assert task.get_coro() is None
        assert await task == 5
        assert task not in asyncio.all_tasks()

    eager.run_until_complete(main())


def test_what_waits_goes_on_as_usual(eager):
    order = []

    async def work():
        order.append("begin")
        await once()
        order.append("end")
        return 1

    async def main():
        task = asyncio.create_task(work(), name="eager")
        assert order == ["begin"] and not task.done()
        assert task in asyncio.all_tasks()
        assert task.get_name() == "eager"
        assert await task == 1

    eager.run_until_complete(main())


def test_current_task_inside_and_after(eager):
    async def main():
        me = asyncio.current_task()
        seen = []

        async def inner():
            seen.append(asyncio.current_task())

        async def work():
            seen.append(asyncio.current_task())
            seen.append(await_less(inner()))
            seen.append(asyncio.current_task())
            await once()
            seen.append(asyncio.current_task())

        def await_less(coro):
            return asyncio.create_task(coro)

        task = asyncio.create_task(work())
        assert asyncio.current_task() is me
        await task
        assert seen[0] is task and seen[3] is task and seen[4] is task
        assert seen[1] is seen[2] and seen[1] is not task
        assert asyncio.all_tasks() == {me}

    eager.run_until_complete(main())


def test_all_tasks_from_inside(eager):
    async def main():
        me = asyncio.current_task()

        async def work():
            everybody = asyncio.all_tasks()
            assert everybody == {me, asyncio.current_task()}

        await asyncio.create_task(work())

    eager.run_until_complete(main())


def test_exceptions(eager):
    async def fail():
        raise ValueError("eager")

    async def main():
        task = asyncio.create_task(fail())
        assert task.done()
        with pytest.raises(ValueError, match="eager"):
            await task
        if sys.version_info >= (3, 13):
            # The group of early 3.12 takes a task that has failed at once for the end of its own.
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())

    eager.run_until_complete(main())


def test_cancellation(eager):
    async def forever():
        await asyncio.sleep(100)

    async def cancelled():
        raise asyncio.CancelledError("at once")

    async def main():
        task = asyncio.create_task(forever())
        task.cancel("m")
        with pytest.raises(asyncio.CancelledError) as info:
            await task
        assert info.value.args == ("m",)
        task = asyncio.create_task(cancelled())
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task

    eager.run_until_complete(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exits(eager, reports, kind):
    async def leave():
        raise kind

    async def main():
        with pytest.raises(kind):
            asyncio.create_task(leave())
        raise kind

    with pytest.raises(kind):
        eager.run_until_complete(main())
    assert asyncio.current_task(eager) is None


def test_contexts(eager):
    async def main():
        var.set("outer")

        async def work():
            assert var.get() == "outer"
            var.set("inner")
            await once()
            assert var.get() == "inner"

        task = asyncio.create_task(work())
        assert var.get() == "outer"
        await task
        assert var.get() == "outer"
        context = contextvars.copy_context()
        context.run(var.set, "given")

        async def given():
            assert var.get() == "given"
            var.set("changed")

        await asyncio.create_task(given(), context=context)
        assert context[var] == "changed"

    eager.run_until_complete(main())


def test_callbacks_are_not_called_at_once(eager):
    async def work():
        return 1

    async def main():
        order = []
        task = asyncio.create_task(work())
        task.add_done_callback(lambda _: order.append(1))
        assert not order
        await once()
        assert order == [1]

    eager.run_until_complete(main())


def test_deep_nesting(eager):
    async def work(number):
        if number:
            return await asyncio.create_task(work(number - 1)) + 1
        await once()
        return 0

    async def main():
        assert await asyncio.create_task(work(50)) == 50

    eager.run_until_complete(main())


def test_groups_and_timeouts(eager):
    async def work(number):
        if number % 2:
            await asyncio.sleep(0)
        return number

    async def main():
        assert await asyncio.gather(*[work(n) for n in range(10)]) == list(range(10))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(n)) for n in range(10)]
        assert [task.result() for task in tasks] == list(range(10))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.create_task(asyncio.sleep(100))

    eager.run_until_complete(main())


def test_memory(eager):
    import weakref

    class Thing:
        pass

    refs = []

    async def work():
        thing = Thing()
        refs.append(weakref.ref(thing))

    async def main():
        for _ in range(100):
            await asyncio.create_task(work())

    eager.run_until_complete(main())
    gc.collect()
    assert all(ref() is None for ref in refs)


def test_on_a_loop_that_does_not_run(loop):
    order = []

    async def work():
        order.append(1)

    task = boros.Task(work(), loop=loop, eager_start=True)
    assert not order
    loop.run_until_complete(task)
    assert order == [1]


def test_a_factory_for_one_kind_of_class(eager):
    async def main():
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)

    eager.run_until_complete(main())
