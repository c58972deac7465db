"""Asynchronous generators: who closes them, and when."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import warnings

import pytest


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_one_that_is_left_is_closed_by_the_loop(loop):
    closed = []

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append(asyncio.get_running_loop())

    async def main():
        async for number in numbers():
            if number == 3:
                break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert closed == [loop]

    loop.run_until_complete(main())


def test_one_that_is_left_at_the_end_is_closed_by_shutdown(loop):
    closed = []

    async def numbers(name):
        try:
            while True:
                yield name
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    kept = [numbers(number) for number in range(5)]

    async def main():
        for generator in kept:
            await anext(generator)

    loop.run_until_complete(main())
    assert closed == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert sorted(closed) == list(range(5))
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_exhausted_ones_need_no_closing(loop):
    async def numbers():
        yield 1
        yield 2

    async def main():
        assert [number async for number in numbers()] == [1, 2]

    loop.run_until_complete(main())
    assert not list(loop._asyncgens)


def test_failures_while_closing_are_reported(loop, reports):
    async def bad():
        try:
            yield 1
        finally:
            raise ValueError("while closing")

    generator = bad()

    async def main():
        await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    (report,) = reports
    assert set(report) == {"message", "exception", "asyncgen"}
    assert report["asyncgen"] is generator
    assert "an error occurred during closing of asynchronous generator" in report["message"]


def test_one_that_refuses_to_be_closed(loop, reports):
    async def stubborn():
        try:
            yield 1
        finally:
            yield 2

    generator = stubborn()

    async def main():
        await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert isinstance(reports[0]["exception"], RuntimeError)


def test_one_begun_after_the_shutdown_warns(loop):
    async def numbers():
        yield 1

    async def main():
        await loop.shutdown_asyncgens()
        generator = numbers()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            await anext(generator)
        assert [warning.category for warning in heard] == [ResourceWarning]
        assert "was scheduled after loop.shutdown_asyncgens() call" in str(heard[0].message)
        await generator.aclose()

    loop.run_until_complete(main())


def test_hooks_are_those_of_the_loop_while_it_runs(loop):
    before = sys.get_asyncgen_hooks()

    async def main():
        hooks = sys.get_asyncgen_hooks()
        assert hooks.firstiter == loop._asyncgen_firstiter_hook
        assert hooks.finalizer == loop._asyncgen_finalizer_hook

    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before


def test_hooks_of_the_program_are_put_back(loop):
    def firstiter(generator):
        pass

    sys.set_asyncgen_hooks(firstiter=firstiter)
    try:
        turn(loop)
        assert sys.get_asyncgen_hooks().firstiter is firstiter
    finally:
        sys.set_asyncgen_hooks(None, None)


def test_hooks_after_an_exit(loop):
    def leave():
        raise SystemExit

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == (None, None)


def test_one_that_is_dropped_in_another_thread(loop):
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(threading.get_ident())

    box = [numbers()]

    async def main():
        await anext(box[0])
        await loop.run_in_executor(None, box.clear)
        gc.collect()
        await asyncio.sleep(0.01)
        assert closed == [threading.get_ident()]

    loop.run_until_complete(main())


def test_one_that_is_dropped_after_the_loop_was_closed(loop):
    async def numbers():
        yield 1

    generator = numbers()

    async def main():
        await anext(generator)

    loop.run_until_complete(main())
    loop.close()
    generator = None
    gc.collect()


def test_in_a_cancelled_task(run):
    async def main():
        closed = []

        async def numbers():
            try:
                while True:
                    await asyncio.sleep(0)
                    yield 1
            finally:
                closed.append(1)

        async def work():
            async with contextlib.aclosing(numbers()) as generator:
                async for _ in generator:
                    pass

        task = asyncio.create_task(work())
        await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == [1]

    run(main())


def test_asend_athrow_and_aclose(run):
    async def main():
        async def echo():
            received = None
            while True:
                try:
                    received = yield received
                except ValueError as failure:
                    received = str(failure)
                await asyncio.sleep(0)

        generator = echo()
        assert await anext(generator) is None
        assert await generator.asend(5) == 5
        assert await generator.athrow(ValueError("v")) == "v"
        await generator.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    run(main())


def test_the_runner_shuts_them_down(new_loop):
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(1)

    kept = numbers()

    async def main():
        await anext(kept)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert closed == [1]
