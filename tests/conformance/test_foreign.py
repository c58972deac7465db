"""Other people's futures, tasks and loops side by side with ours."""

from __future__ import annotations

import asyncio
import asyncio.futures
import asyncio.tasks
import concurrent.futures
import threading
import types

import pytest

import boros

FUTURES = {
    "c": asyncio.futures._CFuture,
    "python": asyncio.futures._PyFuture,
    "boros": boros.Future,
}
TASKS = {"c": asyncio.tasks._CTask, "python": asyncio.tasks._PyTask, "boros": boros.Task}


@types.coroutine
def once():
    yield


@pytest.fixture(params=sorted(FUTURES))
def future_class(request):
    return FUTURES[request.param]


@pytest.fixture(params=sorted(TASKS))
def task_class(request):
    return TASKS[request.param]


def test_every_task_awaits_every_future(run, task_class, future_class):
    async def main():
        loop = asyncio.get_running_loop()

        async def wait(future):
            return await future

        future = future_class(loop=loop)
        task = task_class(wait(future), loop=loop)
        await once()
        assert task._fut_waiter is future and not future._asyncio_future_blocking
        future.set_result("r")
        assert await task == "r"

        future = future_class(loop=loop)
        task = task_class(wait(future), loop=loop)
        loop.call_soon(loop.call_soon, future.set_exception, ValueError("x"))
        with pytest.raises(ValueError, match="x"):
            await task

        future = future_class(loop=loop)
        task = task_class(wait(future), loop=loop)
        await once()
        task.cancel("m")
        with pytest.raises(asyncio.CancelledError) as info:
            await task
        assert info.value.args == ("m",) and future.cancelled() and task.cancelled()

        future = future_class(loop=loop)
        task = task_class(wait(future), loop=loop)
        await once()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        future = future_class(loop=loop)
        future.set_result(7)
        assert await task_class(wait(future), loop=loop) == 7

    run(main())


@pytest.mark.parametrize("inner", sorted(TASKS))
def test_every_task_awaits_every_task(run, task_class, inner):
    async def main():
        loop = asyncio.get_running_loop()

        async def work():
            me = asyncio.current_task()
            await once()
            assert asyncio.current_task() is me
            return me

        async def wait(task):
            me = asyncio.current_task()
            result = await task
            assert asyncio.current_task() is me and me is not result
            return result

        child = TASKS[inner](work(), loop=loop)
        parent = task_class(wait(child), loop=loop)
        everybody = asyncio.all_tasks()
        assert {child, parent, asyncio.current_task()} == everybody
        assert await parent is child
        assert asyncio.all_tasks() == {asyncio.current_task()}

        async def forever():
            await asyncio.sleep(100)

        child = TASKS[inner](forever(), loop=loop)
        parent = task_class(wait(child), loop=loop)
        await once()
        parent.cancel("through")
        with pytest.raises(asyncio.CancelledError) as info:
            await parent
        assert child.cancelled() and info.value.args == ("through",)

    run(main())


def test_factories_of_every_class(loop, task_class):
    loop.set_task_factory(lambda loop, coro, **kwargs: task_class(coro, loop=loop, **kwargs))

    async def child():
        await asyncio.sleep(0.001)
        return 1

    async def main():
        assert type(asyncio.current_task()) is task_class
        assert asyncio.current_task() in asyncio.all_tasks()
        assert await asyncio.gather(*[child() for _ in range(5)]) == [1] * 5
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        async with asyncio.timeout(5):
            await child()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(50), 0.001)
        assert await asyncio.to_thread(lambda: 3) == 3

    loop.run_until_complete(main())
    loop.set_task_factory(None)


def test_waking_order_is_that_of_waiting_whatever_waits(run, future_class):
    async def main():
        loop = asyncio.get_running_loop()
        future = future_class(loop=loop)
        order = []

        async def wait(number):
            await future
            order.append(number)

        classes = list(TASKS.values()) * 3
        tasks = [cls(wait(number), loop=loop) for number, cls in enumerate(classes)]
        await once()
        future.add_done_callback(lambda _: order.append("callback"))
        future.set_result(None)
        await asyncio.wait(tasks)
        assert order == [*range(9), "callback"]

    run(main())


def test_futures_on_a_loop_that_is_not_ours():
    """Ours on asyncio's loop: everything goes through its call_soon."""
    loop = asyncio.SelectorEventLoop()

    async def child(future):
        await once()
        assert isinstance(asyncio.current_task(), boros.Task)
        return await future

    async def main():
        future = boros.Future(loop=loop)
        task = boros.Task(child(future), loop=loop)
        loop.call_later(0.001, future.set_result, 3)
        assert await task == 3
        task = boros.Task(child(boros.Future(loop=loop)), loop=loop, name="x")
        await once()
        await once()
        task.cancel("m")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop.run_until_complete(main())
    loop.run_until_complete(boros.Task(main(), loop=loop))
    loop.close()


def test_a_loop_that_only_looks_like_one():
    """What a future needs of a loop is little."""
    calls = []

    class Fake:
        def get_debug(self):
            return False

        def call_soon(self, callback, *args, context=None):
            calls.append((callback, args, context))

        def call_exception_handler(self, context):
            calls.append(context)

        def is_running(self):
            return False

    loop = Fake()
    future = boros.Future(loop=loop)
    future.add_done_callback(print)
    future.set_result(1)
    assert calls[0][:2] == (print, (future,))
    calls.clear()

    async def work():
        return 5

    task = boros.Task(work(), loop=loop)
    ((step, args, context),) = calls
    context.run(step, *args)
    assert task.result() == 5


def test_a_future_by_protocol_alone(run):
    """No base class: only what the protocol asks for."""

    class Minimal:
        _asyncio_future_blocking = False

        def __init__(self, loop):
            self._loop = loop
            self.callbacks = []
            self.value = None

        def get_loop(self):
            return self._loop

        def add_done_callback(self, callback, *, context=None):
            self.callbacks.append((callback, context))

        def result(self):
            return self.value

        def cancel(self, msg=None):
            return False

        def set(self, value):
            self.value = value
            for callback, context in self.callbacks:
                self._loop.call_soon(callback, self, context=context)

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return self.value

    async def main():
        loop = asyncio.get_running_loop()
        future = Minimal(loop)
        assert asyncio.isfuture(future)
        loop.call_soon(loop.call_soon, future.set, "minimal")
        assert await future == "minimal"
        assert future._asyncio_future_blocking is False

    run(main())


@pytest.mark.parametrize("broken", ["add_done_callback", "get_loop", "result", "blocking"])
def test_a_broken_future_breaks_the_task_only(loop, reports, broken):
    class Broken:
        def __init__(self):
            self._asyncio_future_blocking = False
            self._loop = loop

        if broken == "blocking":

            @property
            def _asyncio_future_blocking(self):
                raise ZeroDivisionError

            @_asyncio_future_blocking.setter
            def _asyncio_future_blocking(self, value):
                pass

        def get_loop(self):
            if broken == "get_loop":
                raise ZeroDivisionError
            return loop

        def add_done_callback(self, callback, *, context=None):
            if broken == "add_done_callback":
                raise ZeroDivisionError
            loop.call_soon(callback, self)

        def result(self):
            if broken == "result":
                raise ZeroDivisionError

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self

    done = []

    async def work():
        await Broken()

    task = loop.create_task(work())
    loop.call_later(0.01, done.append, 1)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert done == [1]
    if task.done():
        assert isinstance(task.exception(), ZeroDivisionError)
    else:
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        task._log_destroy_pending = False
        loop.close()


def test_concurrent_futures(run):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = await asyncio.gather(
                *[asyncio.wrap_future(pool.submit(pow, 2, n)) for n in range(20)]
            )
            assert results == [2**n for n in range(20)]
            with pytest.raises(ZeroDivisionError):
                await asyncio.wrap_future(pool.submit(lambda: 1 / 0))
            gate = threading.Event()
            blocked = pool.submit(gate.wait, 10)
            wrapped = asyncio.wrap_future(blocked, loop=loop)
            wrapped.cancel()
            assert not blocked.cancelled()
            gate.set()
            await asyncio.sleep(0.001)

    run(main())


def test_tasks_entered_by_hand(run):
    """As nested loops and debuggers do it."""

    async def main():
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        other = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(RuntimeError, match="Cannot enter into task"):
            asyncio.tasks._enter_task(loop, other)
        asyncio.tasks._leave_task(loop, me)
        assert asyncio.current_task() is None
        asyncio.tasks._enter_task(loop, other)
        assert asyncio.current_task() is other
        asyncio.tasks._leave_task(loop, other)
        asyncio.tasks._enter_task(loop, me)
        assert asyncio.current_task() is me
        await other

    run(main())


def test_a_step_by_hand_within_a_task_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(0))
        if isinstance(loop, boros.EventLoop):
            handle = loop._ready[0]
            with pytest.raises(RuntimeError, match="Cannot enter into task"):
                handle._callback()
            assert not task.done()
        await task

    run(main())
