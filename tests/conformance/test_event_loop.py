"""Running, stopping and closing a loop, and the order of what it runs."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import threading
import time
import warnings
import weakref

import pytest

import boros


def turn(loop) -> None:
    """One turn of a loop that has nothing to wait for."""
    loop.call_soon(loop.stop)
    loop.run_forever()


# Order


def test_callbacks_run_in_the_order_of_their_calls(loop):
    order = []
    for number in range(100):
        schedule = loop.call_soon_threadsafe if number % 3 == 0 else loop.call_soon
        schedule(order.append, number)
    turn(loop)
    assert order == list(range(100))


def test_what_a_callback_schedules_waits_for_the_next_turn(loop):
    order = []

    def first():
        order.append("first")
        loop.call_soon(order.append, "nested")

    loop.call_soon(first)
    loop.call_soon(order.append, "second")
    turn(loop)
    assert order == ["first", "second"]
    turn(loop)
    assert order == ["first", "second", "nested"]


def test_a_callback_that_always_reschedules_itself_does_not_starve_the_rest(loop):
    left, right = __import__("socket").socketpair()
    with left, right:
        spins = 0

        def spin():
            nonlocal spins
            spins += 1
            if spins < 1_000_000:
                loop.call_soon(spin)

        seen = []

        def readable():
            seen.append(spins)
            loop.remove_reader(left)

        loop.add_reader(left, readable)
        loop.call_soon(spin)
        right.send(b"x")
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
        # Neither the descriptor nor the timer waited for the end of the spinning.
        assert seen and seen[0] < 100_000
        assert spins < 1_000_000
        spins = 1_000_000
        turn(loop)


def test_timers_run_by_deadline_and_equal_ones_in_the_order_of_their_calls(loop):
    order = []
    now = loop.time()
    loop.call_at(now + 0.02, order.append, "late")
    for number in range(20):
        loop.call_at(now + 0.01, order.append, number)
    loop.call_at(now - 100, order.append, "past")
    loop.call_later(0.03, loop.stop)
    loop.run_forever()
    assert order[0] == "past"
    assert sorted(order[1:-1]) == list(range(20))
    assert order[-1] == "late"


def test_equal_deadlines_keep_their_order_on_boros():
    loop = boros.new_event_loop()
    order = []
    now = loop.time()
    for number in range(1000):
        loop.call_at(now + 0.001, order.append, number)
    loop.call_at(now + 0.002, loop.stop)
    loop.run_forever()
    loop.close()
    assert order == list(range(1000))


def test_ready_callbacks_run_before_timers_that_are_due(loop):
    order = []
    loop.call_at(loop.time() - 1, order.append, "timer")
    loop.call_soon(order.append, "soon")
    turn(loop)
    assert order == ["soon", "timer"]


def test_a_timer_made_due_by_a_callback_waits_for_the_next_turn(loop):
    order = []
    loop.call_soon(lambda: loop.call_later(-1, order.append, "timer"))
    loop.call_soon(order.append, "soon")
    turn(loop)
    assert order == ["soon"]
    turn(loop)
    assert order == ["soon", "timer"]


@pytest.mark.parametrize("delay", [0, -0.0, -1, -1e300, -math.inf, False, math.nan, 1e-12])
def test_a_delay_that_is_over_runs_at_once(loop, delay):
    done = []
    loop.call_later(delay, done.append, 1)
    time.sleep(1e-6)
    turn(loop)
    assert done == [1]


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e18, 1e10, 10**12])
def test_a_delay_that_is_never_over_does_not_disturb(loop, delay):
    done = []
    handle = loop.call_later(delay, done.append, 1)
    assert handle.when() == loop.time() + delay or handle.when() > 1e9
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert not done
    handle.cancel()


@pytest.mark.parametrize("bad", ["1", None, object(), [1]])
def test_a_delay_that_is_no_number_is_refused(loop, bad):
    with pytest.raises(TypeError):
        loop.call_later(bad, print)
    with pytest.raises(TypeError):
        loop.call_later(bad, print, 1, 2)
    loop.run_until_complete(asyncio.sleep(0))


def test_a_delay_too_large_for_a_float_is_refused(loop):
    with pytest.raises(OverflowError):
        loop.call_later(10**400, print)


def test_none_is_no_time(loop):
    with pytest.raises(TypeError, match="delay must not be None"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match="when cannot be None"):
        loop.call_at(None, print)


def test_missing_arguments_are_type_errors(loop):
    for method, args in [
        (loop.call_soon, ()),
        (loop.call_soon_threadsafe, ()),
        (loop.call_later, ()),
        (loop.call_later, (1,)),
        (loop.call_at, ()),
        (loop.call_at, (1,)),
        (loop.create_task, ()),
        (loop.run_until_complete, ()),
    ]:
        with pytest.raises(TypeError):
            method(*args)
    for method in (loop.call_soon, loop.call_soon_threadsafe):
        with pytest.raises(TypeError):
            method(print, nonsense=1)
    with pytest.raises(TypeError):
        loop.call_later(0, print, nonsense=1)
    with pytest.raises(TypeError):
        loop.create_future(1)


def test_time_is_monotonic_time(loop):
    before = time.monotonic()
    now = loop.time()
    assert before <= now <= time.monotonic()
    assert isinstance(now, float)


def test_a_timer_never_runs_early(loop):
    early = []

    def check(when):
        if loop.time() < when - loop._clock_resolution:
            early.append(when - loop.time())

    now = loop.time()
    for number in range(200):
        when = now + number * 0.000137
        loop.call_at(when, check, when)
    loop.call_later(0.04, loop.stop)
    loop.run_forever()
    assert not early


def test_a_timer_is_not_late_by_a_millisecond_on_boros():
    loop = boros.new_event_loop()
    late = []

    async def main():
        for _ in range(20):
            when = loop.time() + 0.0002
            await asyncio.sleep(0.0002)
            late.append(loop.time() - when)

    loop.run_until_complete(main())
    loop.close()
    # The best of them, since the machine may be busy: a wait rounded to milliseconds could not do it.
    assert min(late) < 0.0007


# Callbacks that are no good


def test_a_callback_that_cannot_be_called_is_reported(loop, reports):
    loop.call_soon(42)
    loop.call_later(-1, None)
    turn(loop)
    turn(loop)
    assert [type(report["exception"]) for report in reports] == [TypeError, TypeError]
    assert "not callable" in str(reports[0]["exception"])


def test_a_callback_that_raises_does_not_keep_the_others_from_running(loop, reports):
    order = []

    def bad():
        raise ValueError("bad")

    loop.call_soon(order.append, 1)
    loop.call_soon(bad)
    loop.call_soon(order.append, 2)
    turn(loop)
    assert order == [1, 2]
    (report,) = reports
    assert str(report["exception"]) == "bad"
    assert report["message"].startswith("Exception in callback ")
    assert "bad" in report["message"]
    assert isinstance(report["handle"], asyncio.Handle)
    assert set(report) == {"message", "exception", "handle"}
    assert report["exception"].__traceback__ is not None


class Base(BaseException):
    pass


def test_a_base_exception_of_a_callback_is_reported_too(loop, reports):
    def bad():
        raise Base

    loop.call_soon(bad)
    turn(loop)
    assert type(reports[0]["exception"]) is Base


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["soon", "later", "threadsafe", "task", "future", "reader"])
def test_exits_leave_the_loop_which_goes_on_afterwards(loop, kind, where):
    order = []

    def leave(*_):
        raise kind(3)

    async def leaving():
        leave()

    socks = __import__("socket").socketpair()
    with socks[0], socks[1]:
        if where == "soon":
            loop.call_soon(leave)
        elif where == "later":
            loop.call_later(0, leave)
        elif where == "threadsafe":
            loop.call_soon_threadsafe(leave)
        elif where == "task":
            task = loop.create_task(leaving())
        elif where == "future":
            future = loop.create_future()
            future.add_done_callback(leave)
            future.set_result(None)
        else:
            loop.add_writer(socks[0], leave)
        loop.call_soon(order.append, "behind")
        with pytest.raises(kind) as info:
            loop.run_forever()
        assert info.value.args == (3,)
        if where == "reader":
            assert loop.remove_writer(socks[0])
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    if where == "task":
        assert type(task.exception()) is kind
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == ["behind"]
    assert asyncio.current_task(loop) is None


# Stopping


def test_stop_before_running_makes_one_turn(loop):
    order = []
    loop.stop()
    loop.call_soon(order.append, 1)
    loop.call_soon(lambda: loop.call_soon(order.append, 2))
    loop.run_forever()
    assert order == [1]
    loop.stop()
    loop.run_forever()
    assert order == [1, 2]


def test_stop_lets_the_turn_end_and_keeps_the_next(loop):
    order = []

    def stop():
        loop.stop()
        loop.stop()
        loop.call_soon(order.append, "next")
        order.append("stop")

    loop.call_soon(stop)
    loop.call_soon(order.append, "same")
    loop.run_forever()
    assert order == ["stop", "same"]
    # A second request of the same turn does not count for the next run.
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    loop.run_forever()
    assert order == ["stop", "same", "next"]


def test_stop_from_a_done_callback_of_the_main_task(loop):
    async def main():
        return 1

    task = loop.create_task(main())
    task.add_done_callback(lambda _: loop.stop())
    loop.run_forever()
    assert task.result() == 1


def test_stopping_before_the_future_is_done_is_an_error(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed."):
        loop.run_until_complete(future)
    # The future may still be completed in another run.
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(future) == 5
    assert loop.run_until_complete(future) == 5


def test_run_until_complete_leaves_no_callback_behind(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    assert not future._callbacks
    future.cancel()


# What may not be


def test_what_is_no_awaitable_cannot_be_run(loop):
    for bad in (None, 1, "x", print, [1]):
        with pytest.raises(TypeError):
            loop.run_until_complete(bad)


def test_an_awaitable_object_can_be_run(loop):
    class Awaitable:
        def __await__(self):
            yield
            return 7

    assert loop.run_until_complete(Awaitable()) == 7


def test_the_future_of_another_loop_cannot_be_run(loop, new_loop):
    other = new_loop()
    future = other.create_future()
    with pytest.raises(ValueError):
        loop.run_until_complete(future)
    other.close()


def test_a_nested_run_is_refused(run, new_loop, loop_kind):
    async def main():
        loop = asyncio.get_running_loop()
        if loop_kind == "boros":
            # The loop of Python 3.13.0 stops running over this.
            with pytest.raises(RuntimeError, match="already running"):
                loop.run_forever()
        future = loop.create_future()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_until_complete(future)
        other = new_loop()
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_until_complete(other.create_future())
        other.close()
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        coro = asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            asyncio.run(coro)
        coro.close()

    run(main())


def test_a_loop_that_runs_in_one_thread_cannot_run_in_another(loop):
    failures = []
    future = loop.create_future()

    def elsewhere():
        try:
            loop.run_until_complete(future)
        except RuntimeError as failure:
            failures.append(str(failure))
        try:
            loop.close()
        except RuntimeError as failure:
            failures.append(str(failure))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=elsewhere)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert failures == ["This event loop is already running", "Cannot close a running event loop"]


def test_a_running_loop_cannot_be_closed(loop):
    failures = []

    def close():
        try:
            loop.close()
        except RuntimeError as failure:
            failures.append(str(failure))
        loop.stop()

    loop.call_soon(close)
    loop.run_forever()
    assert failures == ["Cannot close a running event loop"]
    assert not loop.is_closed()


def test_every_method_of_a_closed_loop(loop):
    future = loop.create_future()
    loop.close()
    loop.close()
    assert loop.is_closed() and not loop.is_running()
    assert "closed=True" in repr(loop)

    async def coroutine():
        pass

    def refused(method, *args):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            method(*args)

    refused(loop.call_soon, print)
    refused(loop.call_soon_threadsafe, print)
    refused(loop.call_later, 1, print)
    refused(loop.call_at, 1, print)
    refused(loop.run_forever)
    refused(loop.run_in_executor, None, print)
    refused(loop.add_reader, 0, print)
    refused(loop.add_writer, 0, print)
    coro = coroutine()
    refused(loop.create_task, coro)
    refused(loop.run_until_complete, coro)
    coro.close()
    refused(loop.run_until_complete, future)
    if threading.current_thread() is threading.main_thread():
        refused(loop.add_signal_handler, 10, print)
    # These have nothing to refuse.
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False
    assert loop.remove_signal_handler(10) is False
    loop.stop()
    assert loop.time() > 0
    assert loop.create_future() is not None
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_exception_handler(None)
    loop.set_task_factory(None)
    # A future without callbacks needs no loop, one with callbacks does.
    future.set_result(1)
    other = loop.create_future()
    other.add_done_callback(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        other.set_result(1)
    assert other.done()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        other.add_done_callback(print)


def test_closing_drops_what_was_queued(loop):
    class Thing:
        def __call__(self):
            raise AssertionError("run after close")

    things = [Thing() for _ in range(4)]
    refs = [weakref.ref(thing) for thing in things]
    loop.call_soon(things[0])
    loop.call_soon_threadsafe(things[1])
    loop.call_later(0, things[2])
    loop.call_later(1000, things[3])
    del things
    loop.close()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_closing_copes_with_what_is_dropped_using_the_loop(loop):
    said = []

    class Thing:
        def __init__(self, loop):
            self.loop = loop

        def __call__(self):
            pass

        def __del__(self):
            said.append(self.loop.is_closed())
            try:
                self.loop.call_soon(print)
            except RuntimeError as failure:
                said.append(str(failure))
            self.loop.close()

    loop.call_soon(Thing(loop))
    loop.call_later(5, Thing(loop))
    loop.close()
    gc.collect()
    assert said == [True, "Event loop is closed"] * 2


def test_an_unclosed_loop_warns(loop_kind, new_loop):
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert [warning.category for warning in heard if "loop" in str(warning.message)] == [
        ResourceWarning
    ]
    assert "unclosed event loop" in str(heard[0].message)


def test_a_loop_is_run_and_used_by_several_threads_one_after_the_other(loop):
    order = []

    def use(number):
        loop.run_until_complete(asyncio.sleep(0))
        order.append(number)

    for number in range(3):
        thread = threading.Thread(target=use, args=(number,))
        thread.start()
        thread.join()
    use(3)
    assert order == [0, 1, 2, 3]


def test_the_running_loop_is_set_while_it_runs_only(loop):
    seen = []
    loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    loop.call_soon(lambda: seen.append(loop.is_running()))
    loop.call_soon(lambda: seen.append(loop._thread_id == threading.get_ident()))
    turn(loop)
    assert seen == [loop, True, True]
    assert loop._thread_id is None
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_a_loop_is_an_asyncio_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert "running=False closed=False debug=False" in repr(loop)
    assert repr(loop).startswith(f"<{type(loop).__name__} ")


def test_a_waiting_loop_does_no_work(loop):
    before = time.thread_time()
    loop.call_later(0.3, loop.stop)
    loop.run_forever()
    assert time.thread_time() - before < 0.1


def test_a_hundred_thousand_cancelled_timers_are_forgotten(loop):
    class Thing:
        def __call__(self):
            raise AssertionError("was cancelled")

    thing = Thing()
    ref = weakref.ref(thing)
    handles = [loop.call_later(3600, thing) for _ in range(100_000)]
    del thing
    for handle in handles:
        handle.cancel()
    assert ref() is None, "a cancelled timer keeps its callback"
    del handle, handles
    done = []
    loop.call_later(0.001, done.append, 1)
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert done == [1]
    assert len(loop._scheduled) <= 100


def test_a_hundred_thousand_callbacks_of_one_turn(loop):
    count = 0

    def add():
        nonlocal count
        count += 1

    for _ in range(100_000):
        loop.call_soon(add)
    turn(loop)
    assert count == 100_000


def test_many_loops_leave_no_descriptor_and_no_memory(loop_kind, new_loop):
    import os

    def make():
        loop = new_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.call_soon(lambda: loop)
        loop.call_later(100, lambda: loop)
        loop.close()

    for _ in range(20):
        make()
    gc.collect()
    files, objects = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
    for _ in range(100):
        make()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == files
    assert len(gc.get_objects()) - objects < 200


def test_an_open_loop_that_nobody_has_is_collected(loop_kind, new_loop):
    loop = new_loop()
    loop.call_soon(lambda: loop)
    loop.call_later(100, lambda: loop)
    future = loop.create_future()
    future.add_done_callback(lambda _: (loop, future))
    ref = weakref.ref(loop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = future = None
        gc.collect()
    assert ref() is None


def test_origin_tracking_and_hooks_are_put_back(loop):
    loop.set_debug(True)
    before = sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth()
    inside = []
    loop.call_soon(
        lambda: inside.append(
            (sys.get_asyncgen_hooks().firstiter, sys.get_coroutine_origin_tracking_depth())
        )
    )
    turn(loop)
    assert inside[0][0] is not None and inside[0][1] > 0
    assert (sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth()) == before


def test_what_is_dropped_when_the_loop_goes_to_sleep_can_wake_it(loop):
    """The record of the current task is the last to go; what it runs may ask for more."""

    class Last:
        def __del__(self):
            loop.call_soon(loop.stop)

    async def main():
        # A task that nobody else holds when it ends; its result goes with it.
        return Last()

    loop.create_task(main())
    guard = loop.call_later(5, loop.stop)
    start = loop.time()
    loop.run_forever()
    assert loop.time() - start < 4
    guard.cancel()
