"""Context variables: everything runs in the context that it was asked for in."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import socket

import pytest

var = contextvars.ContextVar("var", default=0)


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_tasks_do_not_see_each_other(run):
    async def main():
        async def work(number):
            var.set(number)
            for _ in range(5):
                await asyncio.sleep(0)
                assert var.get() == number
            return var.get()

        assert await asyncio.gather(*[work(n) for n in range(20)]) == list(range(20))
        assert var.get() == 0

    run(main())


def test_readers_and_writers_run_in_the_context_of_the_call(loop):
    seen = []
    left, right = socket.socketpair()
    with left, right:
        token = var.set(7)
        loop.add_reader(left, lambda: seen.append(var.get()) or loop.remove_reader(left))
        loop.add_writer(left, lambda: seen.append(var.get()) or loop.remove_writer(left))
        var.reset(token)
        right.send(b"x")
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
    assert seen == [7, 7]


def test_a_reader_that_changes_its_context_sees_it_again(loop):
    seen = []
    left, right = socket.socketpair()

    def readable():
        left.recv(1)
        seen.append(var.get())
        var.set(var.get() + 1)

    with left, right:
        loop.add_reader(left, readable)
        right.send(b"xyz")
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
        loop.remove_reader(left)
    assert seen == [0, 1, 2] and var.get() == 0


def test_callbacks_of_futures(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        seen = []
        var.set(1)
        future.add_done_callback(lambda _: seen.append(var.get()))
        var.set(2)
        future.add_done_callback(lambda _: seen.append(var.get()))
        var.set(3)
        future.set_result(None)
        future.add_done_callback(lambda _: seen.append(var.get()))
        await asyncio.sleep(0)
        assert seen == [1, 2, 3]

    run(main())


def test_a_waiting_task_keeps_its_context_whoever_wakes_it(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def work():
            var.set("mine")
            await future
            return var.get()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        context = contextvars.copy_context()
        context.run(var.set, "other")
        context.run(future.set_result, None)
        assert await task == "mine"

    run(main())


def test_a_shared_context(run):
    async def main():
        context = contextvars.copy_context()

        async def add():
            for _ in range(10):
                var.set(var.get() + 1)
                await asyncio.sleep(0)

        await asyncio.gather(*[asyncio.create_task(add(), context=context) for _ in range(5)])
        assert context[var] == 50
        assert var.get() == 0

    run(main())


def test_an_empty_context(run):
    async def main():
        async def work():
            return len(contextvars.copy_context())

        var.set(1)
        assert await asyncio.create_task(work(), context=contextvars.Context()) == 0

    run(main())


def test_the_context_of_the_runner(new_loop):
    with asyncio.Runner(loop_factory=new_loop) as runner:

        async def write():
            var.set("kept")

        async def read():
            return var.get()

        runner.run(write())
        assert runner.run(read()) == "kept"
        context = contextvars.Context()
        assert runner.run(read(), context=context) == 0
    assert var.get() == 0


def test_the_context_inside_run_in_executor_and_to_thread(run):
    async def main():
        var.set(5)
        loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(var.get) == 5
        assert await loop.run_in_executor(None, var.get) == 0

    run(main())


def test_the_exception_handler_sees_the_context_of_what_failed(loop_kind, loop):
    import sys

    if loop_kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("new in Python 3.12")
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(var.get()))

    def fail():
        raise ValueError

    context = contextvars.copy_context()
    context.run(var.set, 9)
    loop.call_soon(fail, context=context)
    turn(loop)
    if sys.version_info >= (3, 12):
        assert seen == [9]


def test_decimal_contexts_are_apart(run):
    async def main():
        async def work(precision):
            with decimal.localcontext() as context:
                context.prec = precision
                await asyncio.sleep(0)
                return len(str(decimal.Decimal(1) / 3)) - 2

        assert await asyncio.gather(*[work(n) for n in range(1, 10)]) == list(range(1, 10))

    run(main())


def test_tokens_reset_after_waiting(run):
    async def main():
        token = var.set(1)
        await asyncio.sleep(0.001)
        var.reset(token)
        assert var.get() == 0

        async def other():
            with pytest.raises(ValueError):
                var.reset(outer)

        outer = var.set(2)
        await asyncio.create_task(other())

    run(main())


def test_values_do_not_outlive_their_tasks(run):
    import gc
    import weakref

    class Thing:
        pass

    async def main():
        async def work():
            thing = Thing()
            var.set(thing)
            refs.append(weakref.ref(thing))
            await asyncio.sleep(0)

        refs = []
        await asyncio.gather(*[work() for _ in range(5)])
        await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in refs] == [None] * 5

    run(main())
