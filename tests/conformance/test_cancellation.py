"""Cancellation: at each place where a task can be, with messages, refused, counted and taken back."""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextlib
import gc
import sys
import threading
import types

import pytest

import boros


@types.coroutine
def once():
    yield


async def cancelled_with(awaitable) -> tuple:
    """The arguments of the CancelledError that awaiting raises."""
    with pytest.raises(asyncio.CancelledError) as info:
        await awaitable
    return info.value.args


def test_cancelled_before_it_starts(run):
    async def main():
        started = []

        async def work():
            started.append(1)

        task = asyncio.create_task(work())
        assert task.cancel() is True
        assert not task.cancelled() and not task.done()
        await cancelled_with(task)
        assert task.cancelled() and task.done()
        assert not started
        assert task.cancel() is False

    run(main())


def test_cancelled_while_it_waits(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        caught = []

        async def work():
            try:
                await future
            except asyncio.CancelledError as failure:
                caught.append(failure.args)
                raise

        task = asyncio.create_task(work())
        await once()
        task.cancel("why")
        assert future.cancelled(), "what it waits for is cancelled at once"
        assert await cancelled_with(task) == ("why",)
        assert caught == [("why",)]

    run(main())


def test_cancelled_between_two_bare_yields(run):
    async def main():
        reached = []

        async def work():
            reached.append(1)
            await once()
            reached.append(2)
            await once()
            reached.append(3)

        task = asyncio.create_task(work())
        await once()
        assert reached == [1]
        task.cancel()
        await cancelled_with(task)
        assert reached == [1]

    run(main())


def test_cancelled_by_itself(run):
    async def main():
        reached = []

        async def work():
            asyncio.current_task().cancel("me")
            reached.append(1)
            await once()
            reached.append(2)

        assert await cancelled_with(asyncio.create_task(work())) == ("me",)
        assert reached == [1]

        async def returning():
            asyncio.current_task().cancel("late")
            return 5

        task = asyncio.create_task(returning())
        assert await cancelled_with(task) == ("late",)
        assert task.cancelled()

        async def failing():
            asyncio.current_task().cancel()
            raise ValueError("x")

        with pytest.raises(ValueError):
            await asyncio.create_task(failing())

    run(main())


def test_cancelled_when_what_it_waits_for_is_done_already(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        reached = []

        async def work():
            await future
            reached.append(1)
            await once()

        task = asyncio.create_task(work())
        await once()
        future.set_result(5)
        task.cancel()
        assert future.result() == 5
        await cancelled_with(task)
        assert not reached

    run(main())


def test_cancellation_refused(run):
    async def main():
        async def stubborn():
            for _ in range(3):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(100)
            return "survived"

        task = asyncio.create_task(stubborn())
        for _ in range(3):
            await once()
            assert task.cancel() is True
            await once()
        assert await task == "survived"
        assert not task.cancelled() and task.cancel() is False

    run(main())


def test_another_exception_in_answer_to_cancellation(run):
    async def main():
        async def work():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                raise ValueError("instead") from None

        task = asyncio.create_task(work())
        await once()
        task.cancel()
        with pytest.raises(ValueError, match="instead"):
            await task
        assert not task.cancelled()

    run(main())


def test_cleaning_up_may_wait(run):
    async def main():
        order = []

        async def work():
            try:
                await asyncio.sleep(100)
            finally:
                order.append("begin")
                await asyncio.sleep(0.001)
                order.append("end")

        task = asyncio.create_task(work())
        await once()
        task.cancel()
        await cancelled_with(task)
        assert order == ["begin", "end"]

    run(main())


def test_cancelled_twice_with_different_messages(run):
    async def main():
        async def work():
            await asyncio.sleep(100)

        task = asyncio.create_task(work())
        await once()
        task.cancel("first")
        task.cancel("second")
        args = await cancelled_with(task)
        assert args in (("first",), ("second",))
        assert task.cancelling() == 2

    run(main())


def test_cancel_requests_are_counted(run):
    async def main():
        task = asyncio.create_task(asyncio.sleep(100))
        await once()
        assert task.cancelling() == 0
        assert task.uncancel() == 0
        task.cancel()
        task.cancel()
        assert task.cancelling() == 2
        assert task.uncancel() == 1
        assert task.uncancel() == 0
        assert task.uncancel() == 0
        await cancelled_with(task)
        assert task.cancelling() == 0
        task.cancel()
        assert task.cancelling() == 0, "done tasks count no more"

    run(main())


def test_uncancel_before_the_next_step(run):
    async def main():
        async def work():
            asyncio.current_task().cancel()
            asyncio.current_task().uncancel()
            await once()
            return "went on"

        task = asyncio.create_task(work())
        if sys.version_info >= (3, 13):
            assert await task == "went on"
        else:
            await cancelled_with(task)

    run(main())


def test_a_task_that_waits_for_a_task(run):
    async def main():
        order = []

        async def inner():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError as failure:
                order.append(("inner", failure.args))
                raise

        async def outer():
            try:
                await task
            except asyncio.CancelledError as failure:
                order.append(("outer", failure.args))
                raise

        task = asyncio.create_task(inner())
        other = asyncio.create_task(outer())
        await once()
        await once()
        other.cancel("m")
        assert await cancelled_with(other) == ("m",)
        assert task.cancelled()
        assert order == [("inner", ("m",)), ("outer", ("m",))]

    run(main())


def test_a_task_that_waits_for_a_task_that_refuses(run):
    async def main():
        async def inner():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
            return "refused"

        async def outer():
            return await task

        task = asyncio.create_task(inner())
        other = asyncio.create_task(outer())
        await once()
        await once()
        other.cancel()
        assert await other == "refused"

    run(main())


def test_a_task_that_waits_for_gather_and_shield(run):
    async def main():
        async def work():
            await asyncio.sleep(100)

        children = [asyncio.create_task(work()) for _ in range(3)]
        task = asyncio.ensure_future(asyncio.gather(*children))
        await once()
        task.cancel()
        await cancelled_with(task)
        assert all(child.cancelled() for child in children)

        child = asyncio.create_task(work())
        task = asyncio.create_task(cancelled_with(asyncio.shield(child)))
        await once()
        await once()
        task.cancel("m")
        assert await task == ("m",)
        assert not child.done()
        child.cancel()
        await cancelled_with(child)

    run(main())


def test_a_task_that_waits_for_a_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        go = threading.Event()

        async def work():
            await loop.run_in_executor(None, go.wait, 10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.001)
        task.cancel()
        await cancelled_with(task)
        go.set()

    run(main())


def test_a_task_that_waits_for_a_reader(run):
    async def main():
        import socket

        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            task = asyncio.create_task(loop.sock_recv(left, 1))
            await asyncio.sleep(0.001)
            task.cancel()
            await cancelled_with(task)
            assert loop.remove_reader(left) is False
            right.send(b"x")
            assert await loop.sock_recv(left, 1) == b"x"

    run(main())


def test_a_foreign_awaitable_is_cancelled_through_its_method(run):
    async def main():
        loop = asyncio.get_running_loop()
        calls = []

        class Mine(asyncio.Future):
            def cancel(self, msg=None):
                calls.append(msg)
                return super().cancel(msg)

        future = Mine(loop=loop)

        async def work():
            await future

        task = asyncio.create_task(work())
        await once()
        task.cancel("m")
        assert calls == ["m"]
        assert await cancelled_with(task) == ("m",)

    run(main())


def test_what_cannot_be_cancelled_makes_the_task_wait(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Mine(asyncio.Future):
            def cancel(self, msg=None):
                return False

        future = Mine(loop=loop)
        reached = []

        async def work():
            await future
            reached.append(1)

        task = asyncio.create_task(work())
        await once()
        task.cancel()
        await once()
        assert not task.done() and task._must_cancel
        future.set_result(None)
        await cancelled_with(task)
        assert not reached

    run(main())


def test_timeouts(run):
    async def main():
        me = asyncio.current_task()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(100)
        assert me.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(100)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await asyncio.sleep(100)
        async with asyncio.timeout(None):
            await once()
        async with asyncio.timeout(100) as timeout:
            assert timeout.when() is not None
            timeout.reschedule(asyncio.get_running_loop().time() + 200)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() - 1):
                await asyncio.sleep(100)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                async with asyncio.timeout(50):
                    await asyncio.sleep(100)
        assert me.cancelling() == 0
        await asyncio.sleep(0)

    run(main())


def test_wait_for(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(asyncio.sleep(0, 1), 1) == 1
        assert await asyncio.wait_for(asyncio.sleep(0, 1), None) == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 0.001)
        future = loop.create_future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0)
        assert future.cancelled()
        future = loop.create_future()
        future.set_result(3)
        assert await asyncio.wait_for(future, 0) == 3

        async def fail():
            await once()
            raise ValueError("f")

        with pytest.raises(ValueError):
            await asyncio.wait_for(fail(), 1)

        async def work():
            await asyncio.wait_for(asyncio.sleep(100), 100)

        task = asyncio.create_task(work())
        await once()
        await once()
        task.cancel("m")
        assert (await cancelled_with(task)) in (("m",), ())

    run(main())


def test_a_cancelled_error_raised_by_hand(run):
    async def main():
        async def work():
            raise asyncio.CancelledError("by hand")

        task = asyncio.create_task(work())
        assert await cancelled_with(task) == ("by hand",)
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError):
            task.exception()

    run(main())


def test_the_traceback_of_a_cancelled_task_shows_where_it_was(run):
    async def main():
        async def deep():
            await asyncio.sleep(100)

        async def work():
            await deep()

        task = asyncio.create_task(work())
        await once()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as info:
            await task
        names = [entry.name for entry in info.traceback]
        assert names[-3:] == ["work", "deep", "sleep"]

    run(main())


def test_cancel_from_a_callback_of_the_same_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def work():
            return await future

        task = asyncio.create_task(work())
        await once()
        # The wake-up is queued, and the cancellation comes before it or after it.
        future.set_result("r")
        loop.call_soon(task.cancel)
        assert await task == "r"
        future = loop.create_future()
        task = asyncio.create_task(work())
        await once()
        loop.call_soon(task.cancel)
        loop.call_soon(lambda: None if future.done() else future.set_result("r"))
        await cancelled_with(task)

    run(main())


def test_task_groups_and_cancellation(run):
    async def main():
        async def parent():
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(100))
                group.create_task(asyncio.sleep(100))

        task = asyncio.create_task(parent())
        await asyncio.sleep(0.001)
        task.cancel("m")
        await cancelled_with(task)
        assert task.cancelled()

        async def group_inside_timeout():
            async with asyncio.timeout(0.001):
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(100))

        with pytest.raises(TimeoutError):
            await group_inside_timeout()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_the_runner_cancels_what_is_left(new_loop):
    ended = []

    async def left():
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(1)

    async def main():
        for _ in range(3):
            asyncio.create_task(left())
        await once()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert ended == [1, 1, 1]


def test_cancelled_errors_leave_no_cycles(run):
    async def main():
        async def work():
            await asyncio.sleep(100)

        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                task = asyncio.create_task(work())
                await once()
                task.cancel()
                await asyncio.wait([task])
                del task
            before = sum(isinstance(o, asyncio.CancelledError) for o in gc.get_objects())
            assert before <= 1
        finally:
            gc.enable()

    run(main())


def test_a_long_chain_is_cancelled(run):
    async def main():
        async def work(number):
            if number:
                await asyncio.create_task(work(number - 1))
            else:
                await asyncio.sleep(100)

        task = asyncio.create_task(work(60))
        for _ in range(70):
            await once()
        task.cancel("deep")
        assert await cancelled_with(task) == ("deep",)

    run(main())


def test_a_chain_longer_than_the_stack_is_deep():
    loop = boros.new_event_loop()
    count = 100_000

    async def main():
        async def wait(future):
            await future

        tasks = []
        future = loop.create_future()
        for _ in range(count):
            tasks.append(asyncio.create_task(wait(tasks[-1] if tasks else future)))
        await once()
        tasks[-1].cancel("deep")
        assert future.cancelled()
        assert await cancelled_with(tasks[-1]) == ("deep",)
        assert all(task.cancelled() for task in tasks)

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("before", [0, 1, 50])
@pytest.mark.parametrize("count", [2, 3, 40])
def test_tasks_that_wait_in_a_circle_cannot_be_cancelled(loop, reports, before, count):
    tasks = []

    async def work(number):
        await once()
        after = number + 1 if number + 1 < before + count else before
        await tasks[after]

    tasks += [loop.create_task(work(number)) for number in range(before + count)]
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    with pytest.raises(RecursionError):
        tasks[0].cancel()
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()


def test_the_count_of_requests_as_an_attribute():
    """Of the tasks that are written in Python; boros's have it too."""
    loop = boros.new_event_loop()
    for cls in (boros.Task, asyncio.tasks._PyTask):
        task = cls(asyncio.sleep(100), loop=loop)
        task.cancel()
        assert task._num_cancels_requested == 1
        task._num_cancels_requested = 5
        assert task.cancelling() == 5 and task.uncancel() == 4
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    loop.close()
