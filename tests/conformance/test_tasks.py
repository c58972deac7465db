"""Tasks: starting, stepping, awaiting, names, stacks, the records of tasks."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import io
import sys
import threading
import types
import weakref

import pytest

import boros

var = contextvars.ContextVar("var", default="unset")


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@types.coroutine
def once():
    """Give control back for one turn."""
    yield


# Starting and ending


def test_a_task_is_an_asyncio_task(run, loop_kind):
    async def main():
        task = asyncio.create_task(once_more())
        assert isinstance(task, asyncio.Task) and isinstance(task, asyncio.Future)
        assert asyncio.isfuture(task)
        if loop_kind == "boros":
            assert type(task) is boros.Task
        assert not task.done()
        assert await task == 5
        assert task.done() and task.result() == 5 and task.exception() is None

    async def once_more():
        await once()
        return 5

    run(main())


def test_a_task_starts_in_the_next_turn_and_in_order(run):
    async def main():
        order = []

        async def work(number):
            order.append(number)
            await once()
            order.append(-number)

        tasks = [asyncio.create_task(work(number)) for number in range(1, 4)]
        assert order == []
        await asyncio.gather(*tasks)
        assert order == [1, 2, 3, -1, -2, -3]

    run(main())


def test_how_many_turns_things_take(run):
    """Programs rely on the exact number of turns more often than they should."""

    async def main():
        loop = asyncio.get_running_loop()
        turns = 0
        counting = True

        def count():
            nonlocal turns
            turns += 1
            if counting:
                loop.call_soon(count)

        async def nothing():
            return 1

        async def through(future):
            return await future

        async def turns_of(make):
            nonlocal turns
            before = turns
            await make()
            return turns - before

        loop.call_soon(count)
        await once()

        async def future_set_soon():
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

        async def chain():
            first = future = loop.create_future()
            for _ in range(3):
                future = asyncio.create_task(through(future))
            await once()
            loop.call_soon(first.set_result, None)
            await future

        assert await turns_of(once) == 1
        assert await turns_of(lambda: asyncio.sleep(0)) == 1
        assert await turns_of(nothing) == 0
        assert await turns_of(lambda: asyncio.create_task(nothing())) == 2
        assert await turns_of(lambda: asyncio.gather(nothing(), nothing())) == 3
        assert await turns_of(lambda: asyncio.wait([asyncio.create_task(nothing())])) == 3
        assert await turns_of(lambda: asyncio.shield(nothing())) == 3
        assert await turns_of(future_set_soon) == 2
        assert await turns_of(chain) == 6
        counting = False
        await once()

    run(main())


@pytest.mark.parametrize("bad", [None, 1, "x", print, [1], object()])
def test_what_is_no_coroutine_is_refused(loop, bad):
    with pytest.raises(TypeError, match="a coroutine was expected, got "):
        loop.create_task(bad)


def test_futures_awaitables_and_functions_are_no_coroutines(loop):
    class Awaitable:
        def __await__(self):
            return iter(())

    async def function():
        pass

    async def generator():
        yield

    for bad in (loop.create_future(), Awaitable(), function, generator(), (x for x in ())):
        if isinstance(bad, types.GeneratorType) and sys.version_info < (3, 12):
            # Generators were coroutines once, and Python 3.11 has not forgotten.
            continue
        with pytest.raises(TypeError, match="a coroutine was expected, got "):
            loop.create_task(bad)


def test_generator_based_coroutines(loop):
    @types.coroutine
    def generator():
        yield
        value = yield from asyncio.sleep(0, "slept")
        return value

    async def main():
        return await generator()

    assert loop.run_until_complete(generator()) == "slept"
    assert loop.run_until_complete(main()) == "slept"


def test_a_coroutine_class_of_ones_own(loop):
    class Coroutine(collections.abc.Coroutine):
        def __init__(self):
            self.calls = []

        def send(self, value):
            self.calls.append(("send", value))
            if len(self.calls) == 3:
                raise StopIteration("done")

        def throw(self, *error):
            self.calls.append("throw")
            return None

        def close(self):
            self.calls.append("close")

        def __await__(self):
            return self

    coroutine = Coroutine()
    task = loop.create_task(coroutine)
    assert loop.run_until_complete(task) == "done"
    assert coroutine.calls == [("send", None)] * 3
    coroutine = Coroutine()
    task = loop.create_task(coroutine)
    turn(loop)
    task.cancel()
    assert loop.run_until_complete(task) == "done"
    assert coroutine.calls[1] == "throw"


def test_custom_awaitables(run):
    class Awaitable:
        def __init__(self, times):
            self.times = times

        def __await__(self):
            for _ in range(self.times):
                yield
            return self.times

    async def main():
        assert await Awaitable(0) == 0
        assert await Awaitable(3) == 3
        assert await asyncio.gather(Awaitable(1), Awaitable(2)) == [1, 2]
        assert await asyncio.wait_for(Awaitable(2), 5) == 2

    run(main())


def test_await_that_returns_no_iterator(run):
    class Bad:
        def __await__(self):
            return [1]

    async def main():
        with pytest.raises(TypeError, match="non-iterator"):
            await Bad()

    run(main())


def test_a_task_of_a_coroutine_that_has_ended(loop):
    async def main():
        return 1

    coroutine = main()
    assert loop.run_until_complete(coroutine) == 1
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        loop.run_until_complete(coroutine)


def test_a_coroutine_in_two_tasks(run):
    async def work():
        await once()
        await once()

    async def main():
        coroutine = work()
        first = asyncio.create_task(coroutine)
        await once()
        second = asyncio.create_task(coroutine)
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert any(isinstance(result, RuntimeError) for result in results)

    run(main())


def test_results_cannot_be_set_from_outside(run):
    async def main():
        task = asyncio.create_task(once_async())
        with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
            task.set_result(1)
        with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
            task.set_exception(ValueError())
        await task

    async def once_async():
        await once()

    run(main())


def test_an_exception_ends_the_task_and_keeps_its_traceback(run):
    async def inner():
        await once()
        raise ValueError("inner")

    async def outer():
        await inner()

    async def main():
        task = asyncio.create_task(outer())
        with pytest.raises(ValueError, match="inner") as info:
            await task
        names = [entry.name for entry in info.traceback]
        assert names[-2:] == ["outer", "inner"]
        assert task.exception() is info.value

    run(main())


def test_stop_iteration_from_a_coroutine_is_a_runtime_error(run):
    async def bad():
        raise StopIteration(5)

    async def main():
        with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
            await asyncio.create_task(bad())

    run(main())


def test_a_task_cannot_await_itself(run):
    async def main():
        async def work():
            await task

        task = asyncio.create_task(work())
        with pytest.raises(RuntimeError, match="cannot await on itself"):
            await task

    run(main())


def test_a_task_that_yields_itself(run):
    async def main():
        @types.coroutine
        def give():
            yield task

        async def work():
            await give()

        task = asyncio.get_running_loop().create_task(work())
        with pytest.raises(RuntimeError, match="cannot await on itself"):
            await task

    run(main())


def test_a_task_awaited_by_several(run):
    async def main():
        async def work():
            await once()
            return 1

        task = asyncio.create_task(work())

        async def wait():
            return await task

        assert await asyncio.gather(*[wait() for _ in range(5)]) == [1] * 5
        assert await task == 1

    run(main())


def test_a_chain_of_tasks(run):
    async def main():
        async def work(number):
            if number == 0:
                await once()
                return 0
            return await asyncio.create_task(work(number - 1)) + 1

        assert await work(500) == 500

    run(main())


# Names


def test_names(run):
    async def main():
        loop = asyncio.get_running_loop()
        task = loop.create_task(asyncio.sleep(0), name="mine")
        assert task.get_name() == "mine"
        task.set_name("other")
        assert task.get_name() == "other"
        task.set_name(42)
        assert task.get_name() == "42"
        first = asyncio.create_task(asyncio.sleep(0))
        second = asyncio.create_task(asyncio.sleep(0))
        prefix, number = first.get_name().rsplit("-", 1)
        assert prefix == "Task"
        assert second.get_name() == f"Task-{int(number) + 1}"
        third = asyncio.create_task(asyncio.sleep(0), name=7)
        assert third.get_name() == "7"

        class Name(str):
            pass

        fourth = asyncio.create_task(asyncio.sleep(0), name=Name("n"))
        assert fourth.get_name() == "n"
        assert f"name='{first.get_name()}'" in repr(first)
        await asyncio.gather(task, first, second, third, fourth)

    run(main())


def test_a_name_whose_str_raises(run):
    class Bad:
        def __str__(self):
            raise ZeroDivisionError

    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(ZeroDivisionError):
            task.set_name(Bad())
        assert task.get_name().startswith("Task-")
        await task

    run(main())


# Contexts


def test_a_task_has_a_copy_of_the_context(run):
    async def main():
        var.set("outer")

        async def work():
            assert var.get() == "outer"
            var.set("inner")
            await once()
            assert var.get() == "inner"

        task = asyncio.create_task(work())
        var.set("later")
        await task
        assert var.get() == "later"
        assert task.get_context()[var] == "inner" if hasattr(task, "get_context") else True

    run(main())


def test_a_task_in_a_given_context(run):
    async def main():
        context = contextvars.copy_context()
        context.run(var.set, "given")

        async def work():
            assert var.get() == "given"
            var.set("changed")
            await asyncio.sleep(0.001)
            assert var.get() == "changed"

        await asyncio.create_task(work(), context=context)
        assert context[var] == "changed"
        assert var.get() == "unset"

        async def more():
            return var.get()

        assert await asyncio.create_task(more(), context=context) == "changed"

    run(main())


@pytest.mark.parametrize("bad", [1, "x", {}])
def test_what_is_no_context_is_refused_or_reported(loop, reports, bad):
    async def work():
        pass

    coroutine = work()
    try:
        task = loop.create_task(coroutine, context=bad)
    except (TypeError, AttributeError):
        coroutine.close()
        return
    turn(loop)
    assert reports and isinstance(reports[0]["exception"], TypeError | AttributeError)
    assert not task.done()
    task._log_destroy_pending = False
    coroutine.close()
    loop.close()


# Stacks


def test_the_stack_of_a_suspended_task(run):
    async def inner():
        await asyncio.sleep(100)

    async def outer():
        await inner()

    async def main():
        task = asyncio.create_task(outer())
        (frame,) = task.get_stack()
        assert frame.f_code.co_name == "outer"
        await once()
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
        assert len(task.get_stack(limit=1)) == 1
        out = io.StringIO()
        task.print_stack(file=out)
        assert "Stack for " in out.getvalue() and "await inner()" in out.getvalue()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_the_stack_of_the_running_task(run):
    async def main():
        task = asyncio.current_task()
        names = [frame.f_code.co_name for frame in task.get_stack()]
        assert names[-1] == "watched" and "main" not in names

    run(main())


def test_the_stack_of_ended_tasks(run):
    async def inner():
        raise ValueError("x")

    async def outer():
        await inner()

    async def main():
        task = asyncio.create_task(outer())
        await asyncio.wait([task])
        assert [f.f_code.co_name for f in task.get_stack()] == ["outer", "inner"]
        assert [f.f_code.co_name for f in task.get_stack(limit=1)] == ["outer"]
        out = io.StringIO()
        task.print_stack(file=out)
        assert "Traceback for " in out.getvalue() and "ValueError: x" in out.getvalue()
        task.exception()
        fine = asyncio.create_task(asyncio.sleep(0))
        await fine
        assert fine.get_stack() == []
        out = io.StringIO()
        fine.print_stack(limit=3, file=out)
        assert out.getvalue().startswith("No stack for ")

    run(main())


def test_print_stack_goes_to_stderr(run, capsys):
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        task.print_stack()
        await task

    run(main())
    assert "in sleep" in capsys.readouterr().err


# Repr and attributes


def test_repr(run):
    async def work():
        await asyncio.sleep(100)

    async def main():
        task = asyncio.create_task(work(), name="me")
        assert repr(task).startswith("<Task pending name='me' coro=<")
        assert "work() running at " in repr(task)
        await once()
        assert "wait_for=<Future pending" in repr(task)
        task.add_done_callback(print)
        assert "cb=[" in repr(task)
        task.remove_done_callback(print)
        task.cancel()
        assert repr(task).startswith("<Task cancelling") or "pending" in repr(task)
        await asyncio.gather(task, return_exceptions=True)
        assert repr(task).startswith("<Task cancelled name='me' coro=<")
        done = asyncio.create_task(asyncio.sleep(0, "r"), name="d")
        await done
        assert repr(done).startswith("<Task finished name='d' coro=<sleep() done, defined at ")
        assert "result='r'" in repr(done)

    run(main())


def test_attributes_that_programs_read(run):
    async def work(future):
        await future

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        coroutine = work(future)
        task = asyncio.create_task(coroutine)
        assert task.get_coro() is coroutine and task._coro is coroutine
        assert task.get_loop() is loop
        assert task._fut_waiter is None and task._must_cancel is False
        await once()
        assert task._fut_waiter is future
        assert task._log_destroy_pending is True
        future.set_result(None)
        await task
        assert task._fut_waiter is None
        assert task.get_coro() is coroutine
        me = asyncio.current_task()
        assert me._fut_waiter is None

    run(main())


# The records of tasks


def test_current_task(run):
    async def main():
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        assert asyncio.current_task(loop) is me
        seen = []
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        future = loop.create_future()
        future.add_done_callback(lambda _: seen.append(asyncio.current_task()))
        future.set_result(None)
        loop.call_later(0, lambda: seen.append(asyncio.current_task()))
        loop.call_soon_threadsafe(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0.01)
        assert seen == [None] * 4
        assert asyncio.current_task() is me

        async def other():
            assert asyncio.current_task() is task
            await once()
            assert asyncio.current_task() is task

        task = asyncio.create_task(other())
        await task
        assert asyncio.current_task() is me

    run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()


def test_current_task_seen_from_another_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        me = asyncio.current_task()
        thread = threading.Thread(target=lambda: seen.append(asyncio.current_task(loop)))
        thread.start()
        thread.join()
        assert seen == [me]
        seen = await loop.run_in_executor(None, asyncio.current_task, loop)
        # The task that has asked has not ended its step, or the loop waits for the answer.
        assert seen in (me, None)

    run(main())


def test_current_task_after_every_way_for_a_task_to_end(loop):
    async def fine():
        return 1

    async def failing():
        raise ValueError

    async def exiting():
        raise SystemExit

    async def cancelled():
        raise asyncio.CancelledError

    for function in (fine, failing, exiting, cancelled):
        task = loop.create_task(function())
        try:
            loop.run_until_complete(task)
        except (ValueError, SystemExit, asyncio.CancelledError):
            pass
        assert asyncio.current_task(loop) is None
        turn(loop)


def test_all_tasks(loop):
    async def work():
        await asyncio.sleep(100)

    async def main():
        me = asyncio.current_task()
        assert asyncio.all_tasks() == {me}
        tasks = {asyncio.create_task(work()) for _ in range(5)}
        assert asyncio.all_tasks() == tasks | {me}
        await once()
        assert asyncio.all_tasks() == tasks | {me}
        seen = []
        loop.call_soon(lambda: seen.append(asyncio.all_tasks()))
        thread = threading.Thread(target=lambda: seen.append(asyncio.all_tasks(loop)))
        thread.start()
        thread.join()
        await once()
        assert seen == [tasks | {me}] * 2
        for task in tasks:
            task.cancel()
        assert asyncio.all_tasks() == tasks | {me}
        await asyncio.wait(tasks)
        assert asyncio.all_tasks() == {me}

    loop.run_until_complete(main())
    assert asyncio.all_tasks(loop) == set()


def test_all_tasks_tells_loops_apart(loop, new_loop):
    other = new_loop()
    mine = loop.create_task(asyncio.sleep(0))
    theirs = other.create_task(asyncio.sleep(0))
    assert asyncio.all_tasks(loop) == {mine}
    assert asyncio.all_tasks(other) == {theirs}
    loop.run_until_complete(mine)
    other.run_until_complete(theirs)
    other.close()


def test_all_tasks_keeps_no_task_alive(loop, reports):
    async def work():
        await loop.create_future()

    task = loop.create_task(work())
    turn(loop)
    ref = weakref.ref(task)
    assert asyncio.all_tasks(loop) == {task}
    del task
    gc.collect()
    assert ref() is None
    assert asyncio.all_tasks(loop) == set()
    assert reports[0]["message"] == "Task was destroyed but it is pending!"


def test_all_tasks_while_tasks_come_and_go_in_other_threads(loop_kind, new_loop):
    stop = threading.Event()
    failures = []

    def busy():
        loop = new_loop()

        async def main():
            while not stop.is_set():
                await asyncio.gather(*[asyncio.sleep(0) for _ in range(20)])

        try:
            loop.run_until_complete(main())
        except BaseException as failure:
            failures.append(failure)
        finally:
            loop.close()

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    loop = new_loop()
    mine = loop.create_task(asyncio.sleep(0))
    for _ in range(300):
        assert asyncio.all_tasks(loop) == {mine}
    stop.set()
    for thread in threads:
        thread.join()
    loop.run_until_complete(mine)
    loop.close()
    assert not failures


# Factories


def test_a_task_factory(loop):
    made = []

    def factory(loop, coro, **kwargs):
        task = asyncio.Task(coro, loop=loop, **kwargs)
        made.append(task)
        return task

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory

    async def main():
        assert asyncio.current_task() is made[0]
        task = asyncio.create_task(asyncio.sleep(0, 5), name="inner")
        assert task.get_name() == "inner"
        assert asyncio.all_tasks() == {made[0], task}
        assert await task == 5
        future = loop.create_future()
        loop.call_soon(future.set_result, 6)
        assert await future == 6
        assert await asyncio.wait_for(asyncio.sleep(0.001, 7), 5) == 7
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert len(made) >= 2
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    for bad in (1, "x"):
        with pytest.raises(TypeError, match="task factory must be a callable or None"):
            loop.set_task_factory(bad)


def test_a_task_factory_that_raises(loop):
    def factory(loop, coro, **kwargs):
        coro.close()
        raise ZeroDivisionError

    loop.set_task_factory(factory)
    with pytest.raises(ZeroDivisionError):
        loop.create_task(asyncio.sleep(0))
    loop.set_task_factory(None)


def test_a_task_factory_gets_the_context(loop):
    seen = []

    def factory(loop, coro, **kwargs):
        seen.append(kwargs.get("context"))
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    context = contextvars.copy_context()
    loop.run_until_complete(loop.create_task(asyncio.sleep(0), context=context))
    assert seen == [context]


# Running to the end


def test_shield_gather_and_wait(run):
    async def fail():
        await once()
        raise ValueError("f")

    async def main():
        results = await asyncio.gather(
            asyncio.sleep(0, 1), fail(), asyncio.sleep(0.001, 3), return_exceptions=True
        )
        assert results[0] == 1 and results[2] == 3 and isinstance(results[1], ValueError)
        with pytest.raises(ValueError):
            await asyncio.gather(asyncio.sleep(0), fail())
        assert await asyncio.shield(asyncio.sleep(0, "s")) == "s"
        tasks = [asyncio.create_task(asyncio.sleep(delay)) for delay in (0, 0.02)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[0]} and pending == {tasks[1]}
        done, pending = await asyncio.wait(tasks, timeout=0.001)
        assert pending == {tasks[1]}
        await tasks[1]
        got = [
            await next_
            for next_ in asyncio.as_completed([asyncio.sleep(0.01, 1), asyncio.sleep(0, 2)])
        ]
        assert got == [2, 1]
        assert await asyncio.to_thread(lambda: 5) == 5

    run(main())


def test_task_groups(run):
    async def main():
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asyncio.sleep(0, 1))
            two = group.create_task(asyncio.sleep(0.001, 2), name="two")
        assert one.result() == 1 and two.result() == 2

        async def fail():
            await once()
            raise ValueError("f")

        with pytest.raises(ExceptionGroup) as info:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                slow = group.create_task(asyncio.sleep(100))
                await asyncio.sleep(100)
        assert [type(error) for error in info.value.exceptions] == [ValueError]
        assert slow.cancelled()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_run_coroutine_threadsafe(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def work():
            await once()
            return threading.get_ident()

        def elsewhere():
            return asyncio.run_coroutine_threadsafe(work(), loop).result(5)

        assert await loop.run_in_executor(None, elsewhere) == threading.get_ident()

        async def fail():
            raise ValueError("x")

        def failing():
            with pytest.raises(ValueError, match="x"):
                asyncio.run_coroutine_threadsafe(fail(), loop).result(5)

        await loop.run_in_executor(None, failing)

        async def forever():
            await asyncio.sleep(100)

        def cancelling():
            future = asyncio.run_coroutine_threadsafe(forever(), loop)
            with pytest.raises(TimeoutError):
                future.result(0.01)
            assert future.cancel()

        await loop.run_in_executor(None, cancelling)
        await asyncio.sleep(0.01)

    run(main())


def test_locks_and_queues(run):
    async def main():
        queue = asyncio.Queue(2)
        got = []

        async def producer():
            for number in range(10):
                await queue.put(number)
            await queue.put(None)

        async def consumer():
            while (item := await queue.get()) is not None:
                got.append(item)

        await asyncio.gather(producer(), consumer())
        assert got == list(range(10))
        lock, event = asyncio.Lock(), asyncio.Event()
        order = []

        async def locked(number):
            async with lock:
                order.append(number)
                await once()
                order.append(number)

        await asyncio.gather(*[locked(number) for number in range(3)])
        assert order == [0, 0, 1, 1, 2, 2]
        waiting = asyncio.create_task(event.wait())
        await once()
        event.set()
        assert await waiting is True
        semaphore = asyncio.BoundedSemaphore(2)
        async with semaphore, semaphore:
            assert semaphore.locked()
        barrier = asyncio.Barrier(3)
        assert sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)])) == [0, 1, 2]

    run(main())


def test_an_uninitialised_task_is_refused():
    task = boros.Task.__new__(boros.Task)
    for attempt in (
        lambda: iter(task),
        lambda: task.get_loop(),
        lambda: task.add_done_callback(print),
    ):
        with pytest.raises(RuntimeError, match="not initialized"):
            attempt()
    assert task.get_coro() is None


def test_a_task_made_by_its_class(loop):
    async def main():
        task = boros.Task(asyncio.sleep(0, 3))
        assert task.get_loop() is loop
        return await task

    assert loop.run_until_complete(main()) == 3
    task = boros.Task(asyncio.sleep(0, 4), loop=loop, name="n", context=contextvars.copy_context())
    assert loop.run_until_complete(task) == 4
    with pytest.raises(TypeError):
        boros.Task()
    with pytest.raises(TypeError, match="a coroutine was expected"):
        boros.Task(1, loop=loop)


def test_keywords_of_create_task(loop):
    async def work():
        return asyncio.current_task().get_name()

    assert loop.run_until_complete(loop.create_task(coro=work(), name="kw")) == "kw"
    coroutine = work()
    with pytest.raises(TypeError):
        loop.create_task(coroutine, nonsense=1)
    with pytest.raises(TypeError):
        loop.create_task(coroutine, "name")
    coroutine.close()
