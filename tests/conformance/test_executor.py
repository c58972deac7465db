"""Work in threads: run_in_executor, the default executor and its shutdown."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import time
import warnings

import pytest


def test_results_exceptions_and_arguments(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, pow, 2, 10) == 1024
        assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()

        def fail():
            raise ValueError("in thread")

        with pytest.raises(ValueError, match="in thread") as info:
            await loop.run_in_executor(None, fail)
        assert info.traceback[-1].name == "fail"
        future = loop.run_in_executor(None, lambda: 5)
        assert isinstance(future, asyncio.Future)
        assert await future == 5

    run(main())


def test_stop_iteration_and_base_exceptions_from_a_thread(loop):
    class Base(BaseException):
        pass

    def base():
        raise Base

    async def main():
        with pytest.raises(Base):
            await loop.run_in_executor(None, base)

    loop.run_until_complete(main())


def test_many_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(None, time.sleep, 0) for _ in range(500)]
        await asyncio.gather(*futures)

    run(main())


def test_an_executor_of_ones_own(run):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, "mine") as pool:
            name = await loop.run_in_executor(pool, lambda: threading.current_thread().name)
            assert name.startswith("mine")

        class Inline(concurrent.futures.Executor):
            def submit(self, function, /, *args, **kwargs):
                future = concurrent.futures.Future()
                future.set_result(function(*args, **kwargs))
                return future

        assert await loop.run_in_executor(Inline(), pow, 3, 2) == 9

    run(main())


def test_the_default_executor(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert loop._default_executor is None
        for bad in (None, 1, object()):
            with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
                loop.set_default_executor(bad)
        pool = concurrent.futures.ThreadPoolExecutor(2, "default")
        loop.set_default_executor(pool)
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert name.startswith("default")

    run(main())


def test_cancelling_what_has_not_begun_and_what_has(run):
    async def main():
        loop = asyncio.get_running_loop()
        gate, begun, ran = threading.Event(), threading.Event(), []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = loop.run_in_executor(pool, lambda: (begun.set(), gate.wait(10)))
            second = loop.run_in_executor(pool, ran.append, 1)
            await asyncio.sleep(0)
            begun.wait()
            second.cancel()
            first.cancel()
            await asyncio.sleep(0)
            for future in (first, second):
                with pytest.raises(asyncio.CancelledError):
                    await future
            gate.set()
        assert not ran

    run(main())


def test_a_result_after_the_loop_was_closed(loop):
    gate = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop.run_in_executor(pool, gate.wait, 10)
    loop.close()
    gate.set()
    pool.shutdown()


def test_a_result_while_the_loop_waits_wakes_it(run):
    async def main():
        loop = asyncio.get_running_loop()
        start = time.monotonic()
        for _ in range(100):
            await loop.run_in_executor(None, lambda: None)
        assert time.monotonic() - start < 5

    run(main())


def test_shutdown(loop):
    async def main():
        done = []

        def slow():
            time.sleep(0.05)
            done.append(1)

        future = loop.run_in_executor(None, slow)
        await loop.shutdown_default_executor()
        assert done == [1]
        await future
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, slow)
        # Other executors are not concerned.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert await loop.run_in_executor(pool, pow, 2, 2) == 4
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())


def test_shutdown_without_an_executor(loop):
    async def main():
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, print)

    loop.run_until_complete(main())


def test_shutdown_with_a_timeout(loop, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("new in Python 3.12, and at first without the warning")
    gate = threading.Event()

    async def main():
        future = loop.run_in_executor(None, gate.wait, 10)
        await asyncio.sleep(0)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            await loop.shutdown_default_executor(timeout=0.01)
        assert [warning.category for warning in heard] == [RuntimeWarning]
        assert "executor did not finish" in str(heard[0].message)
        gate.set()
        await future

    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    loop.run_until_complete(main())
    pool.shutdown()
    time.sleep(0.02)


def test_shutdown_that_is_long_enough(loop, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("new in Python 3.12")

    async def main():
        future = loop.run_in_executor(None, time.sleep, 0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await loop.shutdown_default_executor(timeout=10)
        await future

    loop.run_until_complete(main())


def test_closing_does_not_wait_for_threads(new_loop):
    gate = threading.Event()
    loop = new_loop()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    loop.run_in_executor(None, gate.wait, 10)
    start = time.monotonic()
    loop.close()
    assert time.monotonic() - start < 5
    gate.set()
    pool.shutdown()


def test_debug_mode_refuses_coroutines(loop):
    async def work():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError):
        loop.run_in_executor(None, work)
    coroutine = work()
    with pytest.raises(TypeError):
        loop.run_in_executor(None, coroutine)
    coroutine.close()
    with pytest.raises(TypeError):
        loop.run_in_executor(None, 42)


def test_results_arrive_in_the_thread_of_the_loop(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(None, lambda: None)
        idents = []
        future.add_done_callback(lambda _: idents.append(threading.get_ident()))
        await future
        await asyncio.sleep(0)
        assert idents == [threading.get_ident()]

    run(main())


def test_an_executor_that_was_shut_down(run):
    async def main():
        loop = asyncio.get_running_loop()
        pool = concurrent.futures.ThreadPoolExecutor(1)
        pool.shutdown()
        with pytest.raises(RuntimeError):
            loop.run_in_executor(pool, print)
        with contextlib.suppress(RuntimeError):
            await asyncio.to_thread(print, end="")

    run(main())
