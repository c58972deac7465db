"""Several threads: calls from outside, loops side by side, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.timeout(120)
def test_no_call_from_outside_is_lost(loop):
    """A hundred thousand calls from four threads, while the loop sleeps, wakes, and is busy by turns."""
    threads, each = 4, 25_000
    seen = [[] for _ in range(threads)]
    missing = threads * each
    go = threading.Event()

    def arrive(which, number):
        nonlocal missing
        seen[which].append(number)
        missing -= 1
        if not missing:
            loop.stop()

    def send(which):
        chance = random.Random(which)
        go.wait()
        for number in range(each):
            loop.call_soon_threadsafe(arrive, which, number)
            if chance.random() < 0.002:
                time.sleep(chance.random() * 0.0005)

    async def busy():
        chance = random.Random(99)
        while True:
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.random() * 0.0005)

    senders = [threading.Thread(target=send, args=(which,)) for which in range(threads)]
    for sender in senders:
        sender.start()
    task = loop.create_task(busy())
    loop.call_soon(go.set)
    loop.run_forever()
    for sender in senders:
        sender.join()
    assert all(numbers == list(range(each)) for numbers in seen), "each thread's calls are in order"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


@pytest.mark.timeout(60)
def test_no_wake_up_is_lost(loop):
    """The loop waits without a limit each time: one lost wake-up and the test hangs."""
    rounds = 3000
    asked = threading.Semaphore(0)

    def answer():
        for number in range(rounds):
            asked.acquire()
            if number % 3 == 0:
                time.sleep(0)
            loop.call_soon_threadsafe(box[0].set_result, number)

    async def main():
        for number in range(rounds):
            box[0] = loop.create_future()
            asked.release()
            if number % 2:
                await asyncio.sleep(0)
            assert await box[0] == number

    box = [None]
    thread = threading.Thread(target=answer)
    thread.start()
    loop.run_until_complete(main())
    thread.join()


def test_a_call_from_outside_ends_a_long_wait(loop):
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, [loop.stop])
    guard = loop.call_later(30, loop.stop)
    thread.start()
    start = time.monotonic()
    loop.run_forever()
    assert time.monotonic() - start < 10
    thread.join()
    guard.cancel()


def test_calls_from_outside_before_the_loop_runs(loop):
    done = []
    thread = threading.Thread(
        target=lambda: [loop.call_soon_threadsafe(done.append, n) for n in range(100)]
    )
    thread.start()
    thread.join()
    turn(loop)
    assert done == list(range(100))


def test_closing_while_others_call(new_loop):
    """They get an error, or their call is dropped; nothing else."""
    for _ in range(20):
        loop = new_loop()
        failures = []
        ready = threading.Barrier(3)

        def call(loop=loop, ready=ready, failures=failures):
            ready.wait()
            try:
                while True:
                    loop.call_soon_threadsafe(len, ())
            except RuntimeError as failure:
                failures.append(str(failure))

        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        ready.wait()
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        for thread in threads:
            thread.join()
        assert failures == ["Event loop is closed"] * 2


def test_loops_side_by_side(new_loop):
    """Each thread with a loop of its own, and they call each other."""
    count = 6
    loops = [new_loop() for _ in range(count)]
    barrier = threading.Barrier(count)
    results = [None] * count
    failures = []

    async def work(number):
        loop = asyncio.get_running_loop()
        assert loop is loops[number]
        queue = asyncio.Queue()
        queues[number] = queue
        await loop.run_in_executor(None, barrier.wait)
        after = (number + 1) % count
        for item in range(200):
            loops[after].call_soon_threadsafe(queues[after].put_nowait, item)
            if item % 10 == 0:
                await asyncio.sleep(0)
        got = [await queue.get() for _ in range(200)]
        assert got == list(range(200))
        await loop.run_in_executor(None, barrier.wait)
        return number

    def run(number):
        try:
            with asyncio.Runner(loop_factory=lambda: loops[number]) as runner:
                results[number] = runner.run(work(number))
        except BaseException as failure:
            failures.append(failure)
            barrier.abort()

    queues = [None] * count
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert results == list(range(count))


def test_current_tasks_of_loops_side_by_side(new_loop):
    failures = []

    async def work():
        me = asyncio.current_task()
        for _ in range(300):
            await asyncio.sleep(0)
            assert asyncio.current_task() is me
            assert asyncio.all_tasks() == {me}

    def run():
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(work())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_futures_and_tasks_made_and_dropped_in_other_threads(loop):
    """Memory only: nothing here is scheduled from the wrong thread."""
    stop = threading.Event()
    failures = []

    def churn():
        try:
            while not stop.is_set():
                futures = [loop.create_future() for _ in range(50)]
                for future in futures:
                    future.add_done_callback(len)
                    repr(future)
                handles = [loop._scheduled, loop._ready]
                del futures, future, handles
        except BaseException as failure:
            failures.append(failure)

    async def main():
        for _ in range(300):
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(10)])
            loop.call_later(10, len).cancel()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        loop.run_until_complete(main())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_wrong_thread_calls_do_no_harm_to_memory(loop, reports, loop_kind):
    """Outside debug mode they are not refused; they may go wrong, but never crash."""
    if loop_kind == "asyncio":
        pytest.skip("its list of timers breaks")
    stop = threading.Event()

    def abuse():
        while not stop.is_set():
            handle = loop.call_soon(len, ())
            loop.call_later(0.0001, len, ())
            handle.cancel()
            future = loop.create_future()
            future.add_done_callback(lambda _: None)
            future.set_result(1)
            loop.create_task(asyncio.sleep(0)).cancel()
            time.sleep(0)

    async def main():
        for _ in range(200):
            await asyncio.sleep(0.0001)
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(5)])

    threads = [threading.Thread(target=abuse) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        loop.run_until_complete(main())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for _ in range(5):
        turn(loop)


# The end of the interpreter


def ends(code: str, kind: str, status: int = 0, errors: str = "") -> str:
    """Run ``code`` in an interpreter of its own, and say what it wrote to stderr."""
    head = """
import asyncio, boros, os, signal, sys, threading, time
new_loop = {"asyncio": asyncio.SelectorEventLoop, "boros": boros.new_event_loop}[sys.argv[1]]
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", head + textwrap.dedent(code), kind],
        capture_output=True,
        text=True,
        timeout=20,
        env={key: value for key, value in os.environ.items() if key != "PYTHONDEVMODE"},
    )
    assert done.returncode == status, (done.returncode, done.stderr)
    assert errors in done.stderr
    return done.stderr


def test_the_end_with_an_open_loop(loop_kind):
    assert (
        ends(
            """
            loop = new_loop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.call_soon(print)
            loop.call_later(100, print)
            future = loop.create_future()
            future.add_done_callback(print)
            """,
            loop_kind,
        )
        == ""
    )


def test_the_end_inside_a_callback(loop_kind):
    ends(
        """
        loop = new_loop()
        loop.call_soon(sys.exit, 5)
        loop.run_forever()
        """,
        loop_kind,
        5,
    )


def test_the_end_inside_a_task(loop_kind):
    ends(
        """
        async def main():
            await asyncio.sleep(0)
            sys.exit(6)
        asyncio.Runner(loop_factory=new_loop).run(main())
        """,
        loop_kind,
        6,
    )


def test_the_end_by_os_exit_inside_a_task(loop_kind):
    ends(
        """
        async def main():
            await asyncio.sleep(0)
            os._exit(7)
        asyncio.Runner(loop_factory=new_loop).run(main())
        """,
        loop_kind,
        7,
    )


@pytest.mark.parametrize("busy", [False, True])
def test_the_end_while_a_daemon_thread_runs_a_loop(loop_kind, busy):
    for _ in range(3):
        assert (
            ends(
                f"""
                started = threading.Event()
                async def main():
                    started.set()
                    while True:
                        await asyncio.sleep({0 if busy else 0.0001})
                def run():
                    asyncio.Runner(loop_factory=new_loop).run(main())
                for _ in range(3):
                    threading.Thread(target=run, daemon=True).start()
                started.wait()
                time.sleep(0.02)
                """,
                loop_kind,
            )
            == ""
        )


def test_the_end_while_daemon_threads_serve(loop_kind):
    for _ in range(3):
        assert (
            ends(
                """
                started = threading.Event()
                def work():
                    for _ in range(200):
                        pass
                class Echo(asyncio.Protocol):
                    def connection_made(self, transport):
                        self.transport = transport
                    def data_received(self, data):
                        work()
                        self.transport.write(data)
                class Client(Echo):
                    def connection_made(self, transport):
                        super().connection_made(transport)
                        transport.write(b"x" * 100)
                async def main():
                    loop = asyncio.get_running_loop()
                    server = await loop.create_server(Echo, "127.0.0.1", 0)
                    for _ in range(4):
                        await loop.create_connection(Client, *server.sockets[0].getsockname())
                    def again(*_):
                        work()
                        future = loop.create_future()
                        future.add_done_callback(again)
                        future.set_result(None)
                    again()
                    started.set()
                    await asyncio.sleep(1000)
                def run():
                    asyncio.Runner(loop_factory=new_loop).run(main())
                for _ in range(2):
                    threading.Thread(target=run, daemon=True).start()
                started.wait()
                time.sleep(0.02)
                """,
                loop_kind,
            )
            == ""
        )


@pytest.mark.parametrize("where", ["step", "callback", "future"])
def test_the_end_while_a_daemon_thread_is_in_an_endless_callback(loop_kind, where):
    start = time.monotonic()
    assert (
        ends(
            f"""
            started = threading.Event()
            def endless(*_):
                started.set()
                while True:
                    pass
            async def main():
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                if "{where}" == "step":
                    endless()
                elif "{where}" == "callback":
                    loop.call_soon(endless)
                else:
                    future.add_done_callback(endless)
                    future.set_result(None)
                await asyncio.sleep(100)
            def run():
                asyncio.Runner(loop_factory=new_loop).run(main())
            threading.Thread(target=run, daemon=True).start()
            started.wait()
            """,
            loop_kind,
        )
        == ""
    )
    assert time.monotonic() - start < 10


def test_the_end_while_a_daemon_thread_waits_in_a_loop(loop_kind):
    assert (
        ends(
            """
            loop = new_loop()
            started = threading.Event()
            loop.call_soon(started.set)
            threading.Thread(target=loop.run_forever, daemon=True).start()
            started.wait()
            """,
            loop_kind,
        )
        == ""
    )


def test_the_end_with_a_thread_that_calls_the_loop(loop_kind):
    assert (
        ends(
            """
            loop = new_loop()
            def call():
                while True:
                    loop.call_soon_threadsafe(len, ())
            threading.Thread(target=call, daemon=True).start()
            loop.run_until_complete(asyncio.sleep(0.01))
            """,
            loop_kind,
        )
        == ""
    )


def test_the_end_with_pending_tasks(loop_kind):
    """They are reported, and nothing more."""
    errors = ends(
        """
        loop = new_loop()
        async def work():
            await asyncio.sleep(100)
        tasks = [loop.create_task(work()) for _ in range(3)]
        loop.call_soon(loop.stop)
        loop.run_forever()
        """,
        loop_kind,
    )
    assert "Fatal" not in errors and "SystemError" not in errors
    assert "Logging error" not in errors
    assert "Exception ignored" not in errors


def test_the_end_with_a_lost_exception(loop_kind):
    errors = ends(
        """
        loop = new_loop()
        future = loop.create_future()
        future.set_exception(ValueError("lost at the end"))
        loop.close()
        """,
        loop_kind,
    )
    assert "Logging error" not in errors and "Fatal" not in errors


def test_atexit_runs_a_loop(loop_kind):
    errors = ends(
        """
        import atexit
        async def main():
            await asyncio.sleep(0.001)
            print("ran", flush=True, file=sys.stderr)
        atexit.register(lambda: asyncio.Runner(loop_factory=new_loop).run(main()))
        """,
        loop_kind,
    )
    assert errors == "ran\n"


def test_modules_that_are_torn_down_with_things_in_them(loop_kind):
    assert (
        ends(
            """
            class Late:
                def __del__(self):
                    try:
                        loop.call_soon(print)
                        loop.create_future()
                        loop.close()
                    except Exception:
                        pass
            loop = new_loop()
            late = Late()
            loop.late = late
            cycle = [loop, late]
            cycle.append(cycle)
            sys.modules["__kept__"] = cycle
            """,
            loop_kind,
        )
        == ""
    )
