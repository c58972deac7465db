"""Debug mode: slow callbacks, wrong threads, and where things were made."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

import boros


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture
def debugged(loop):
    loop.set_debug(True)
    return loop


def test_it_is_off_and_can_be_turned_on(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True and "debug=True" in repr(loop)
    loop.set_debug(0)
    assert not loop.get_debug()
    loop.slow_callback_duration = 0.5
    assert loop.slow_callback_duration == 0.5


@pytest.mark.parametrize(
    ("environment", "options", "expected"),
    [
        ({}, [], "False"),
        ({"PYTHONASYNCIODEBUG": "1"}, [], "True"),
        ({"PYTHONASYNCIODEBUG": ""}, [], "False"),
        ({"PYTHONASYNCIODEBUG": "1"}, ["-E"], "False"),
        ({}, ["-X", "dev"], "True"),
    ],
)
def test_the_environment_turns_it_on(loop_kind, environment, options, expected):
    factory = {"asyncio": "asyncio.SelectorEventLoop", "boros": "boros.new_event_loop"}[loop_kind]
    code = f"import asyncio, boros; loop = {factory}(); print(loop.get_debug()); loop.close()"
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
    }
    child = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=inherited | environment,
        timeout=20,
    )
    assert child.stdout.strip() == expected, child.stderr


def test_run_turns_it_on(run):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=True) is True
    assert run(main(), debug=False) is False


# Slow callbacks


def slow_records(caplog):
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("Executing ")]


def test_slow_callbacks_are_logged(debugged, caplog):
    debugged.slow_callback_duration = 0.01

    def slow():
        time.sleep(0.02)

    with caplog.at_level(logging.WARNING, "asyncio"):
        debugged.call_soon(slow)
        debugged.call_soon(lambda: None)
        turn(debugged)
    (text,) = slow_records(caplog)
    assert text.startswith("Executing <Handle ") and "slow" in text
    assert text.endswith(" seconds") and "took 0.0" in text


def test_slow_steps_are_logged_as_the_task(debugged, caplog):
    debugged.slow_callback_duration = 0.01

    async def slow():
        await asyncio.sleep(0)
        time.sleep(0.02)

    with caplog.at_level(logging.WARNING, "asyncio"):
        debugged.run_until_complete(debugged.create_task(slow(), name="the-slow-one"))
    (text,) = slow_records(caplog)
    assert "Task" in text and "the-slow-one" in text and "slow" in text


def test_slow_callbacks_of_futures_and_timers(debugged, caplog):
    debugged.slow_callback_duration = 0.01

    def slow(*_):
        time.sleep(0.02)

    with caplog.at_level(logging.WARNING, "asyncio"):
        future = debugged.create_future()
        future.add_done_callback(slow)
        future.set_result(1)
        debugged.call_later(0, slow)
        debugged.call_soon_threadsafe(slow)
        debugged.call_later(0.05, debugged.stop)
        debugged.run_forever()
    assert len(slow_records(caplog)) == 3
    assert any("TimerHandle" in text for text in slow_records(caplog))


def test_nothing_is_logged_without_debug_mode(loop, caplog):
    loop.slow_callback_duration = 0
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.call_soon(time.sleep, 0.01)
        turn(loop)
    assert slow_records(caplog) == []


def test_everything_is_logged_with_a_limit_of_zero(debugged, caplog):
    debugged.slow_callback_duration = 0
    with caplog.at_level(logging.WARNING, "asyncio"):
        debugged.call_soon(lambda: None)
        turn(debugged)
    assert len(slow_records(caplog)) == 2


# Wrong threads


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_calls_from_other_threads_are_refused(debugged, method):
    failures = []
    arguments = (print,) if method == "call_soon" else (0, print)

    def elsewhere():
        try:
            getattr(debugged, method)(*arguments)
        except RuntimeError as failure:
            failures.append(str(failure))
        debugged.call_soon_threadsafe(debugged.stop)

    thread = threading.Thread(target=elsewhere)
    debugged.call_soon(thread.start)
    debugged.run_forever()
    thread.join()
    assert failures == [
        "Non-thread-safe operation invoked on an event loop other than the current one"
    ]


def test_futures_and_tasks_from_other_threads_are_refused(debugged):
    failures = []
    future = debugged.create_future()
    future.add_done_callback(lambda _: None)

    def elsewhere():
        coroutine = asyncio.sleep(0)
        for attempt in (
            lambda: future.set_result(1),
            lambda: debugged.create_task(coroutine),
        ):
            try:
                attempt()
            except RuntimeError as failure:
                failures.append(str(failure))
        coroutine.close()
        debugged.call_soon_threadsafe(debugged.stop)

    thread = threading.Thread(target=elsewhere)
    debugged.call_soon(thread.start)
    # The task that could not be started is reported as destroyed.
    debugged.set_exception_handler(lambda loop, context: None)
    debugged.run_forever()
    thread.join()
    assert len(failures) == 2
    assert all("Non-thread-safe operation" in failure for failure in failures)
    debugged.close()


def test_a_loop_that_does_not_run_may_be_used_from_anywhere(debugged):
    done = []
    thread = threading.Thread(target=debugged.call_soon, args=(done.append, 1))
    thread.start()
    thread.join()
    turn(debugged)
    assert done == [1]


# Bad callbacks


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_coroutines_are_no_callbacks(debugged, method):
    async def work():
        pass

    coroutine = work()
    before = () if "soon" in method else (0,)
    for bad in (work, coroutine):
        with pytest.raises(TypeError, match="coroutines cannot be used with"):
            getattr(debugged, method)(*before, bad)
    with pytest.raises(TypeError, match="a callable object was expected by"):
        getattr(debugged, method)(*before, 42)
    coroutine.close()


# Where things were made


def test_source_tracebacks(debugged):
    async def work():
        pass

    here = "test_source_tracebacks"
    future = debugged.create_future()
    handle = debugged.call_soon(len, ())
    timer = debugged.call_later(0, print)
    task = debugged.create_task(work())
    for thing in (future, handle, timer, task):
        assert here in [frame.name for frame in thing._source_traceback][-2:], thing
    assert "created at" in repr(future) and "created at" in repr(task)
    timer.cancel()
    debugged.run_until_complete(task)


def test_source_tracebacks_in_reports(debugged, reports):
    debugged.call_soon(lambda: 1 / 0)
    turn(debugged)
    (report,) = reports
    assert "source_traceback" in report
    assert "test_source_tracebacks_in_reports" in [f.name for f in report["source_traceback"]]
    assert "created at" in report["message"] or "created at" in repr(report["handle"])


def test_the_log_says_where_handles_were_made(debugged, reports, caplog):
    debugged.set_exception_handler(None)

    def fail():
        raise ValueError("x")

    with caplog.at_level(logging.ERROR, "asyncio"):
        debugged.call_soon(fail)
        turn(debugged)
    assert "Object created at (most recent call last):" in caplog.text
    assert "test_the_log_says_where_handles_were_made" in caplog.text


def test_no_source_tracebacks_without_debug_mode(loop):
    assert loop.create_future()._source_traceback is None
    handle = loop.call_soon(print)
    assert handle._source_traceback is None
    handle.cancel()


def test_never_awaited_coroutines_tell_their_origin(debugged):
    import warnings

    async def forgotten():
        pass

    def forget():
        forgotten()

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        debugged.call_soon(forget)
        turn(debugged)
    (warning,) = [w for w in heard if "never awaited" in str(w.message)]
    assert "Coroutine created at" in str(warning.message)
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_turning_it_on_while_running(loop):
    async def main():
        assert sys.get_coroutine_origin_tracking_depth() == 0
        loop.set_debug(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() > 0
        future = loop.create_future()
        assert future._source_traceback
        loop.set_debug(False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() == 0

    loop.run_until_complete(main())


def test_everything_works_in_debug_mode(debugged):
    async def child(number):
        await asyncio.sleep(0)
        future = debugged.create_future()
        debugged.call_soon(future.set_result, number)
        return await future

    async def main():
        assert await asyncio.gather(*[child(n) for n in range(10)]) == list(range(10))
        task = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.current_task() in asyncio.all_tasks()
        await asyncio.to_thread(lambda: None)
        seen = []
        debugged.call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0)
        assert seen == [None]

    debugged.run_until_complete(main())


def test_the_current_handle_is_known_in_debug_mode(debugged):
    if isinstance(debugged, boros.EventLoop):
        seen = []
        handle = debugged.call_soon(lambda: seen.append(debugged._current_handle))
        turn(debugged)
        assert seen == [handle]
        assert debugged._current_handle is None
