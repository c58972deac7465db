"""Signals: handlers that run in the loop, and KeyboardInterrupt wherever the loop may be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import boros

USUAL = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGALRM,
)


def kill(number) -> None:
    os.kill(os.getpid(), number)


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@contextlib.contextmanager
def from_thread(action, *args, delay: float = 0.02):
    """Have ``action`` called in another thread, a little later."""
    timer = threading.Timer(delay, action, args)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.fixture(autouse=True)
def dispositions():
    """Everything about signals is afterwards as it was before."""
    before = {number: signal.getsignal(number) for number in USUAL}
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    yield
    after = {number: signal.getsignal(number) for number in USUAL}
    left = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before
    assert left == wakeup


# Handlers


@pytest.mark.parametrize(
    "number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGRTMIN + 3]
)
def test_a_handler_is_called_in_the_loop(loop, number):
    seen = []

    def handler(*args):
        seen.append((args, loop.is_running(), threading.get_ident()))
        loop.stop()

    loop.add_signal_handler(number, handler, 1, "two")
    with from_thread(kill, number):
        loop.run_forever()
    assert seen == [((1, "two"), True, threading.get_ident())]
    assert loop.remove_signal_handler(number) is True
    assert loop.remove_signal_handler(number) is False


def test_a_handler_while_the_loop_is_busy(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)

    async def main():
        kill(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not seen and time.monotonic() < deadline:
            await asyncio.sleep(0)
        assert seen == [1]

    loop.run_until_complete(main())
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_for_sigint_replaces_the_keyboard_interrupt(loop):
    loop.add_signal_handler(signal.SIGINT, loop.stop)
    with from_thread(kill, signal.SIGINT):
        loop.run_forever()
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_new_handler_takes_the_place_of_the_old(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "old")
    loop.add_signal_handler(signal.SIGUSR1, lambda: (seen.append("new"), loop.stop()))
    with from_thread(kill, signal.SIGUSR1):
        loop.run_forever()
    assert seen == ["new"]
    assert loop.remove_signal_handler(signal.SIGUSR1)


def test_several_handlers(loop):
    seen = []
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, seen.append, number)
    for number in numbers:
        kill(number)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert sorted(seen) == sorted(numbers)
    for number in numbers:
        loop.remove_signal_handler(number)


def test_a_handler_that_raises_is_reported(loop, reports):
    loop.add_signal_handler(signal.SIGUSR1, lambda: 1 / 0)
    kill(signal.SIGUSR1)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_that_arrives_before_the_loop_runs(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    kill(signal.SIGUSR1)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_between_two_runs(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    turn(loop)
    kill(signal.SIGUSR1)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_that_removes_itself(loop):
    seen = []

    def handler():
        seen.append(loop.remove_signal_handler(signal.SIGUSR1))
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handler)
    kill(signal.SIGUSR1)
    loop.run_forever()
    assert seen == [True]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGKILL, RuntimeError),
        (signal.SIGSTOP, RuntimeError),
        (0, ValueError),
        (-1, ValueError),
        (10_000, ValueError),
        ("SIGINT", TypeError),
        (1.5, TypeError),
        (None, TypeError),
    ],
)
def test_signals_that_cannot_be_handled(loop, number, error):
    with pytest.raises(error):
        loop.add_signal_handler(number, print)
    assert signal.set_wakeup_fd(-1) == -1
    if error is not RuntimeError:
        with pytest.raises(error):
            loop.remove_signal_handler(number)
    else:
        assert loop.remove_signal_handler(number) is False


def test_coroutines_are_no_handlers(loop):
    async def handler():
        pass

    coroutine = handler()
    for bad in (handler, coroutine):
        with pytest.raises(TypeError, match="coroutines cannot be used with add_signal_handler"):
            loop.add_signal_handler(signal.SIGUSR1, bad)
    coroutine.close()


def test_other_threads_cannot_add_handlers(loop):
    failures = []

    def elsewhere():
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except RuntimeError as failure:
            failures.append(failure)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(failures) == 1
    assert not loop._signal_handlers


def test_closing_the_loop_gives_everything_back(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    turn(loop)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_removed_while_the_loop_runs_leave_no_wakeup_descriptor(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.call_soon(loop.remove_signal_handler, signal.SIGUSR1)
    turn(loop)
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_added_while_the_loop_runs_stay(loop):
    seen = []
    loop.call_soon(loop.add_signal_handler, signal.SIGUSR1, seen.append, 1)
    turn(loop)
    kill(signal.SIGUSR1)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.set_wakeup_fd(-1) == -1


def test_a_wakeup_descriptor_of_the_program_is_left_alone():
    """Of a program that uses signals itself, with a loop that has no handlers."""
    import socket

    loop = boros.new_event_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        signal.set_wakeup_fd(left.fileno())
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
        kill(signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0.001))
        assert signal.set_wakeup_fd(-1) == left.fileno()
        assert right.recv(10) == bytes([signal.SIGUSR1])
        assert seen == [1]
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    loop.close()


def test_two_loops_take_turns(loop, new_loop):
    other = new_loop()
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    turn(other)
    other.add_signal_handler(signal.SIGUSR2, seen.append, "second")
    kill(signal.SIGUSR2)
    other.call_later(0.02, other.stop)
    other.run_forever()
    assert seen == ["second"]
    other.close()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_storm(loop):
    """Thousands of signals of one number while the loop is blocked, and one of another."""
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, seen.append, 2)

    async def main():
        for _ in range(200):
            kill(signal.SIGUSR1)
        kill(signal.SIGUSR2)
        for _ in range(1000):
            if 2 in seen:
                break
            await asyncio.sleep(0.001)
        assert 1 in seen and 2 in seen

    loop.run_until_complete(main())
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.remove_signal_handler(signal.SIGUSR2)


def test_a_storm_that_the_descriptor_cannot_hold(capfd):
    loop = boros.new_event_loop()
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, seen.append, 2)

    async def main():
        for _ in range(5000):
            kill(signal.SIGUSR1)
        kill(signal.SIGUSR2)
        for _ in range(1000):
            if 2 in seen:
                break
            await asyncio.sleep(0.001)
        assert 1 in seen and 2 in seen, set(seen)

    loop.run_until_complete(main())
    loop.close()
    assert capfd.readouterr().err == ""


def test_a_storm_from_other_threads():
    loop = boros.new_event_loop()
    count = 0

    def handler():
        nonlocal count
        count += 1

    loop.add_signal_handler(signal.SIGUSR1, handler)
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            kill(signal.SIGUSR1)
            time.sleep(0)

    threads = [threading.Thread(target=storm) for _ in range(3)]

    async def main():
        for thread in threads:
            thread.start()
        for _ in range(200):
            await asyncio.sleep(0.0005)
        stop.set()
        for thread in threads:
            thread.join()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    assert count > 0
    loop.close()


def test_a_python_handler_runs_while_the_loop_waits(loop):
    seen = []
    signal.signal(signal.SIGUSR1, lambda *_: (seen.append(loop.is_running()), loop.stop()))
    guard = loop.call_later(10, loop.stop)
    start = time.monotonic()
    try:
        with from_thread(kill, signal.SIGUSR1):
            if isinstance(loop, boros.EventLoop):
                loop.run_forever()
                assert time.monotonic() - start < 5
                assert seen == [True]
            else:
                time.sleep(0.05)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        guard.cancel()


def test_a_python_handler_that_schedules(loop):
    done = []

    def handler(*_):
        loop.call_soon_threadsafe(done.append, 1)
        loop.call_soon_threadsafe(loop.stop)

    signal.signal(signal.SIGUSR1, handler)
    try:
        with from_thread(kill, signal.SIGUSR1):
            loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert done == [1]


def test_signals_at_every_moment(loop):
    """A thousand signals a second must neither lose nor add anything else."""
    count = 0
    stop = threading.Event()

    def handler(*_):
        nonlocal count
        count += 1

    def send():
        while not stop.wait(0.0005):
            kill(signal.SIGUSR1)

    async def main():
        start = loop.time()
        for _ in range(50):
            await asyncio.sleep(0.002)
            await asyncio.sleep(0)
            future = loop.create_future()
            loop.call_soon_threadsafe(future.set_result, None)
            await future
        assert loop.time() - start >= 0.1

    signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        loop.run_until_complete(main())
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert count > 10


# KeyboardInterrupt


def test_interrupted_while_it_waits(loop):
    with pytest.raises(KeyboardInterrupt), from_thread(kill, signal.SIGINT):
        loop.run_forever()
    assert not loop.is_running()
    loop.run_until_complete(asyncio.sleep(0))


def test_interrupted_while_it_is_busy(loop):
    def spin():
        loop.call_soon(spin)

    handle = loop.call_soon(spin)
    with pytest.raises(KeyboardInterrupt), from_thread(kill, signal.SIGINT):
        loop.run_forever()
    handle.cancel()
    loop.close()


def test_interrupted_in_a_callback(loop):
    order = []

    def callback():
        kill(signal.SIGINT)
        for _ in range(10_000):
            pass
        order.append("not reached")

    loop.call_soon(callback)
    loop.call_soon(order.append, "next")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert order == []
    turn(loop)
    assert order == ["next"]


def test_interrupted_in_a_task(loop):
    async def work():
        await asyncio.sleep(0)
        kill(signal.SIGINT)
        for _ in range(10_000):
            pass

    task = loop.create_task(work())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), KeyboardInterrupt)
    assert asyncio.current_task(loop) is None


def test_the_runner_turns_it_into_a_cancellation(new_loop):
    ended = []

    async def main():
        threading.Timer(0.02, kill, [signal.SIGINT]).start()
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(asyncio.current_task().cancelling())

    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    assert ended == [1]
    time.sleep(0.01)


def test_the_runner_and_a_busy_main(new_loop):
    async def main():
        kill(signal.SIGINT)
        while True:
            await asyncio.sleep(0)

    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())


def test_a_second_interrupt_of_a_runner_is_immediate(new_loop):
    async def main():
        kill(signal.SIGINT)
        kill(signal.SIGINT)
        try:
            for _ in range(100):
                pass
        except KeyboardInterrupt:
            return "seen"
        while True:
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        with contextlib.suppress(KeyboardInterrupt):
            assert runner.run(main()) == "seen"


def test_the_loop_of_another_thread_is_not_interrupted(loop):
    """The main thread gets the exception, whoever else runs a loop."""
    started = threading.Event()

    def elsewhere():
        loop.call_soon(started.set)
        loop.run_forever()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    started.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            kill(signal.SIGINT)
            time.sleep(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


CHILD = """
import asyncio, boros, os, signal, sys
factory = {"asyncio": asyncio.SelectorEventLoop, "boros": boros.new_event_loop}[sys.argv[1]]
"""


def child(code: str, kind: str):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + textwrap.dedent(code), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_ended_while_it_waits(loop_kind, number):
    process = child(
        """
        async def main():
            print("ready", flush=True)
            await asyncio.sleep(100)
        asyncio.Runner(loop_factory=factory).run(main())
        """,
        loop_kind,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


def test_interrupts_at_random_moments():
    """Each time the program ends by the interrupt: it is never lost, and nothing crashes."""
    process = child(
        """
        import contextlib, random, threading, time
        loop = factory()
        async def work():
            while True:
                await asyncio.sleep(random.random() * 0.0005)
                future = loop.create_future()
                loop.call_soon(future.set_result, None)
                await future
        def interrupt(go, delay):
            go.wait()
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)
        for number in range(200):
            tasks = [loop.create_task(work()) for _ in range(3)]
            go = threading.Event()
            thread = threading.Thread(target=interrupt, args=(go, random.random() * 0.003))
            thread.start()
            try:
                loop.call_soon(go.set)
                loop.run_forever()
                raise AssertionError("not interrupted")
            except KeyboardInterrupt:
                pass
            thread.join()
            for task in tasks:
                task.cancel()
            with contextlib.suppress(BaseException):
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            assert not loop.is_running()
            assert asyncio.current_task(loop) is None
            assert not asyncio.all_tasks(loop)
        loop.close()
        print("fine")
        """,
        "boros",
    )
    with process:
        out, errors = process.communicate(timeout=15)
    assert (out, process.returncode) == ("fine\n", 0), errors
