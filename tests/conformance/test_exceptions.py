"""Exceptions that nobody catches: the exception handler, and the reports of lost results and tasks."""

from __future__ import annotations

import asyncio
import gc
import logging
import types

import pytest

import boros


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@types.coroutine
def once():
    yield


# Results that nobody looked at


def test_an_exception_that_nobody_looked_at_is_reported(loop, reports):
    future = loop.create_future()
    error = ValueError("lost")
    future.set_exception(error)
    text = repr(future)
    del future
    gc.collect()
    (report,) = reports
    assert set(report) == {"message", "exception", "future"}
    assert report["message"] == "Future exception was never retrieved"
    assert report["exception"] is error
    assert repr(report["future"]) == text


def test_a_task_whose_exception_nobody_looked_at_is_reported(loop, reports):
    async def work():
        raise ValueError("lost")

    loop.create_task(work())
    turn(loop)
    turn(loop)
    gc.collect()
    (report,) = reports
    assert set(report) == {"message", "exception", "future"}
    assert report["message"] == "Task exception was never retrieved"
    assert isinstance(report["future"], asyncio.Task)
    assert "work" in repr(report["future"])


def test_debug_mode_adds_where_it_was_made(loop, reports):
    loop.set_debug(True)
    future = loop.create_future()
    future.set_exception(ValueError())
    del future
    gc.collect()
    assert set(reports[0]) == {"message", "exception", "future", "source_traceback"}
    names = [frame.name for frame in reports[0]["source_traceback"]]
    assert "test_debug_mode_adds_where_it_was_made" in names[-2:]


@pytest.mark.parametrize(
    "look",
    [
        lambda future: future.exception(),
        lambda future: pytest.raises(ValueError, future.result),
        lambda future: future.cancel(),
        lambda future: setattr(future, "_log_traceback", False),
    ],
)
def test_an_exception_that_was_looked_at_is_not_reported(loop, reports, look):
    future = loop.create_future()
    future.set_exception(ValueError())
    look(future)
    del future
    gc.collect()
    assert not reports


def test_an_exception_that_was_awaited_is_not_reported(loop, reports):
    async def fail():
        raise ValueError

    async def main():
        with pytest.raises(ValueError):
            await asyncio.create_task(fail())
        await asyncio.gather(fail(), fail(), return_exceptions=True)
        await asyncio.wait([task := asyncio.create_task(fail())])
        task.exception()

    loop.run_until_complete(main())
    gc.collect()
    assert not reports


def test_a_future_in_a_cycle_is_reported_too(loop, reports):
    future = loop.create_future()
    future.set_exception(ValueError("cycle"))
    cycle = [future]
    cycle.append(cycle)
    del future, cycle
    gc.collect()
    assert [report["message"] for report in reports] == ["Future exception was never retrieved"]


def test_a_handler_that_keeps_the_future_brings_it_back(loop, reports):
    kept = []
    loop.set_exception_handler(lambda loop, context: kept.append(context["future"]))
    future = loop.create_future()
    future.set_exception(ValueError("kept"))
    del future
    gc.collect()
    (future,) = kept
    assert str(future.exception()) == "kept"
    assert future.done()
    kept.clear()
    del future
    gc.collect()
    # It was told once.
    assert not kept


def test_many_kept_futures_stay_what_they_are(loop, reports):
    """Objects that were brought back must not be given out again."""
    kept = []
    loop.set_exception_handler(lambda loop, context: kept.append(context["future"]))
    for number in range(100):
        loop.create_future().set_exception(ValueError(number))
    gc.collect()
    fresh = [loop.create_future() for _ in range(200)]
    assert [str(future.exception()) for future in kept] == [str(number) for number in range(100)]
    assert not any(future.done() for future in fresh)
    assert len({id(future) for future in kept + fresh}) == 300


# Tasks that are gone before they end


def test_a_pending_task_that_goes_is_reported(loop, reports):
    async def work():
        await loop.create_future()

    task = loop.create_task(work())
    turn(loop)
    text = repr(task).split(" running at ")[0]
    del task
    gc.collect()
    (report,) = reports
    assert set(report) == {"message", "task"}
    assert report["message"] == "Task was destroyed but it is pending!"
    assert repr(report["task"]).startswith(text)
    assert "wait_for=<Future pending cb=[Task.task_wakeup()]>" in repr(report["task"])


def test_a_pending_task_in_debug_mode(loop, reports):
    loop.set_debug(True)

    async def work():
        await loop.create_future()

    loop.create_task(work())
    turn(loop)
    gc.collect()
    assert set(reports[0]) == {"message", "task", "source_traceback"}


def test_the_report_can_be_turned_off(loop, reports):
    async def work():
        await loop.create_future()

    task = loop.create_task(work())
    task._log_destroy_pending = 0
    assert task._log_destroy_pending is False
    turn(loop)
    del task
    gc.collect()
    assert not reports


def test_a_destroyed_task_closes_its_coroutine(loop, reports):
    closed = []

    async def work():
        try:
            await loop.create_future()
        except GeneratorExit:
            closed.append(1)
            raise

    loop.create_task(work())
    turn(loop)
    gc.collect()
    assert closed == [1] and len(reports) == 1


def test_a_pending_task_that_is_brought_back_can_go_on(loop, reports):
    kept = []
    futures = []
    loop.set_exception_handler(lambda loop, context: kept.append(context["task"]))

    async def work():
        future = loop.create_future()
        futures.append(weakref_to(future))
        return await future

    import weakref

    weakref_to = weakref.ref
    loop.create_task(work())
    turn(loop)
    gc.collect()
    (task,) = kept
    assert not task.done()
    kept.clear()
    task._log_destroy_pending = False
    task.cancel()
    turn(loop)
    turn(loop)
    assert isinstance(repr(task), str)
    task = None
    gc.collect()


def test_tasks_left_when_the_loop_closes(loop, reports):
    async def work():
        await asyncio.sleep(100)

    task = loop.create_task(work())
    turn(loop)
    loop.close()
    del task
    gc.collect()
    assert [report["message"] for report in reports] == ["Task was destroyed but it is pending!"]


def test_a_task_that_never_ran_when_the_loop_closes(loop, reports):
    async def work():
        pass

    coroutine = work()
    task = loop.create_task(coroutine)
    loop.close()
    del task
    gc.collect()
    coroutine.close()
    assert [report["message"] for report in reports] == ["Task was destroyed but it is pending!"]


# The handler


def test_the_handler_is_called_with_the_loop(loop):
    calls = []
    loop.set_exception_handler(lambda *args: calls.append(args))
    assert loop.get_exception_handler() is not None
    context = {"message": "m"}
    loop.call_exception_handler(context)
    assert calls == [(loop, context)]
    assert calls[0][1] is context
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


@pytest.mark.parametrize("bad", [1, "x", []])
def test_what_is_no_handler(loop, bad):
    with pytest.raises(TypeError, match="A callable object or None is expected"):
        loop.set_exception_handler(bad)


def test_the_default_handler_logs(loop, reports, caplog):
    loop.set_exception_handler(None)
    error = ValueError("shown")
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_exception_handler({"message": "what happened", "exception": error, "extra": [1]})
        loop.call_exception_handler({"exception": None})
    first, second = caplog.records
    assert first.getMessage() == "what happened\nextra: [1]"
    assert first.exc_info[1] is error
    assert second.getMessage() == "Unhandled exception in event loop"


def test_a_handler_that_raises(loop, reports, caplog):
    def handler(loop, context):
        raise KeyError("in handler")

    loop.set_exception_handler(handler)
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_soon(lambda: 1 / 0)
        turn(loop)
    (record,) = caplog.records
    assert "Unhandled error in exception handler" in record.getMessage()
    assert "ZeroDivisionError" in record.getMessage()
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_handler_that_exits(loop, reports, kind):
    def handler(loop, context):
        raise kind

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    with pytest.raises(kind):
        loop.run_forever()
    loop.set_exception_handler(None)
    loop.run_until_complete(asyncio.sleep(0))


def test_a_default_handler_that_was_replaced_and_raises(loop_kind, reports, caplog):
    base = asyncio.SelectorEventLoop if loop_kind == "asyncio" else boros.EventLoop

    class Mine(base):
        def default_exception_handler(self, context):
            raise ValueError("default")

    loop = Mine()
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_soon(lambda: 1 / 0)
        turn(loop)
    assert "Exception in default exception handler" in caplog.text
    loop.close()


def test_a_replaced_handler_method_gets_everything(loop_kind, reports):
    base = asyncio.SelectorEventLoop if loop_kind == "asyncio" else boros.EventLoop
    seen = []

    class Mine(base):
        def call_exception_handler(self, context):
            seen.append(context["message"])

    loop = Mine()
    loop.call_soon(lambda: 1 / 0)
    loop.create_future().set_exception(ValueError())

    async def work():
        await loop.create_future()

    loop.create_task(work())
    turn(loop)
    gc.collect()
    loop.close()
    assert len(seen) == 3
    assert sorted(message.split(" ")[0] for message in seen) == ["Exception", "Future", "Task"]


def test_a_handler_that_uses_the_loop(loop, reports):
    done = []

    def handler(loop, context):
        loop.call_soon(done.append, 1)
        loop.create_task(asyncio.sleep(0)).add_done_callback(lambda _: done.append(2))
        gc.collect()

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    for _ in range(4):
        turn(loop)
    assert done == [1, 2]


def test_a_lost_exception_while_another_is_handled(loop, reports):
    """A finalizer must leave alone the exception that is on its way."""

    def fail():
        future = loop.create_future()
        future.set_exception(ValueError("lost"))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    gc.collect()
    assert len(reports) == 1


def test_a_handler_that_raises_in_a_finalizer(loop, reports, caplog):
    def handler(loop, context):
        raise KeyError("in handler")

    loop.set_exception_handler(handler)
    with caplog.at_level(logging.ERROR, "asyncio"):
        future = loop.create_future()
        future.set_exception(ValueError("lost"))
        del future
        gc.collect()
    assert "Unhandled error in exception handler" in caplog.text


def test_exceptions_of_interrupted_tasks_are_not_reported_twice(loop, reports):
    async def main():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        loop.run_until_complete(main())
    gc.collect()
    assert not reports


def test_shutdown_of_tasks_with_exceptions_reports_them(new_loop, reports):
    async def bad():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ValueError("on the way out") from None

    async def main():
        asyncio.create_task(bad())
        await once()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    (report,) = reports
    assert report["message"] == "unhandled exception during asyncio.run() shutdown"
    assert set(report) == {"message", "exception", "task"}
