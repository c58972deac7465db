"""What a forked process finds, and what it may not disturb."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
import warnings

import pytest

import boros

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


def in_child(function) -> None:
    """Run ``function`` in a forked process, and fail here with what it raises there."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(20)
            function()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, said or f"ended by signal {status}"


@pytest.fixture
def loop():
    loop = boros.new_event_loop()
    yield loop
    loop.close()


def test_the_copy_is_closed_and_says_why(loop):
    loop.run_until_complete(asyncio.sleep(0))

    def child():
        assert loop.is_closed() and not loop.is_running()
        for attempt in (
            loop.run_forever,
            lambda: loop.call_soon(print),
            lambda: loop.call_soon_threadsafe(print),
            lambda: loop.call_later(1, print),
            lambda: loop.add_reader(0, print),
            lambda: loop.run_until_complete(loop.create_future()),
            lambda: loop.run_in_executor(None, print),
        ):
            with pytest.raises(RuntimeError, match="before this process was forked"):
                attempt()
        loop.close()
        assert loop.remove_reader(0) is False
        loop.stop()

    in_child(child)
    loop.run_until_complete(asyncio.sleep(0.001))


def test_the_child_makes_a_loop_of_its_own(loop):
    async def main():
        await asyncio.sleep(0.001)
        assert await asyncio.to_thread(lambda: 3) == 3
        return asyncio.get_running_loop()

    def child():
        assert boros.run(main()) is not loop
        asyncio.run(main())

    loop.run_until_complete(main())
    in_child(child)


def test_the_child_of_a_running_loop_makes_one_too(loop):
    async def work():
        await asyncio.sleep(0.001)
        return 5

    def child():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        assert boros.run(work()) == 5
        assert asyncio.run(work()) == 5

    async def main():
        await asyncio.sleep(0)
        in_child(child)
        return await work()

    assert loop.run_until_complete(main()) == 5


def test_what_the_child_drops_does_not_disturb_the_parent(loop):
    """Readers, timers, callbacks, tasks and connections of the parent's loop go on."""
    seen = []
    left, right = socket.socketpair()

    def child():
        left.close()
        right.close()
        with pytest.raises(RuntimeError):
            loop.run_forever()
        loop.remove_reader(fd)
        loop.close()
        gc.collect()

    async def main():
        task = asyncio.create_task(asyncio.sleep(0.01, "slept"))
        loop.add_reader(left, lambda: seen.append(left.recv(1)))
        loop.call_later(0.01, seen.append, "timer")
        await asyncio.sleep(0)
        in_child(child)
        loop.call_soon(seen.append, "soon")
        right.send(b"x")
        assert await task == "slept"
        await asyncio.sleep(0.005)
        loop.remove_reader(left)

    fd = left.fileno()
    with left, right:
        loop.run_until_complete(main())
    assert sorted(map(str, seen)) == ["b'x'", "soon", "timer"]


def test_a_child_that_goes_on_in_the_callback_leaves_the_loop(loop):
    """The run that was forked ends in the child with an error, and goes on in the parent."""
    order = []

    def child_or_parent():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            order.append(os.fork())
        if order[0] == 0:
            signal.alarm(20)

    loop.call_soon(child_or_parent)
    loop.call_soon(order.append, "behind")
    loop.call_later(0.01, loop.stop)
    status = 1
    try:
        loop.run_forever()
        failure = None
    except RuntimeError as error:
        failure = error
    if order[0] == 0:
        try:
            right = (
                "before this process was forked" in str(failure)
                and order == [0]
                and loop.is_closed()
                and not loop.is_running()
                and boros.run(asyncio.sleep(0.001, 7)) == 7
            )
            status = 0 if right else 2
        finally:
            os._exit(status)
    assert failure is None and order[1:] == ["behind"]
    assert os.waitpid(order[0], 0)[1] == 0
    loop.run_until_complete(asyncio.sleep(0))


def test_a_loop_of_another_thread(loop):
    """The thread does not exist in the child, and its loop does not run there."""
    started = threading.Event()

    def elsewhere():
        loop.call_soon(started.set)
        loop.run_forever()

    def child():
        assert not loop.is_running() and loop.is_closed()
        loop.close()
        assert boros.run(asyncio.sleep(0.001, 1)) == 1

    thread = threading.Thread(target=elsewhere)
    thread.start()
    started.wait()
    in_child(child)
    answers = []
    loop.call_soon_threadsafe(answers.append, 1)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert answers == [1]


def test_signals_of_the_child_do_not_reach_the_parents_loop(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)

    def child():
        assert signal.set_wakeup_fd(-1) == -1
        os.kill(os.getpid(), signal.SIGUSR1)
        fresh = boros.new_event_loop()
        mine = []
        fresh.add_signal_handler(signal.SIGUSR1, mine.append, 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        fresh.call_later(0.01, fresh.stop)
        fresh.run_forever()
        assert mine == [1]
        fresh.close()

    async def main():
        in_child(child)
        await asyncio.sleep(0.01)
        assert seen == []
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.01)
        assert seen == [1]

    loop.run_until_complete(main())


def test_wake_ups_of_the_child_do_not_reach_the_parent(loop):
    async def main():
        start = loop.time()

        def child():
            with pytest.raises(RuntimeError):
                loop.call_soon_threadsafe(print)

        in_child(child)
        await asyncio.sleep(0.01)
        assert loop.time() - start >= 0.01

    loop.run_until_complete(main())


def test_connections_of_the_parent_survive_a_child(loop):
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)

        def child():
            for close in (writer.transport.abort, server.close):
                with contextlib.suppress(RuntimeError):
                    close()
            os.close(writer.get_extra_info("socket").fileno())
            gc.collect()

        in_child(child)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_closed_loop_stays_what_it_is(loop):
    loop.close()

    def child():
        assert loop.is_closed()
        with pytest.raises(RuntimeError, match="Event loop is closed$"):
            loop.call_soon(print)

    in_child(child)


def _work(number):
    async def main():
        await asyncio.sleep(0.001)
        return number * 2

    return boros.run(main())


def test_a_pool_of_processes(loop):
    async def main():
        import concurrent.futures

        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            futures = [loop.run_in_executor(pool, _work, number) for number in range(5)]
            assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop.run_until_complete(main())


def test_a_child_that_ends_in_the_ordinary_way():
    """Not by os._exit: it leaves the copy of a running loop, and the interpreter is torn down with it."""
    import subprocess

    code = """
import asyncio, boros, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
async def main():
    task = asyncio.create_task(asyncio.sleep(0.05, "slept"))
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        return
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1, status
    assert await task == "slept"
    print("parent is fine")
boros.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.returncode) == ("parent is fine\n", 0), done.stderr
    assert "before this process was forked" in done.stderr
