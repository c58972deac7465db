"""Futures: results, exceptions, callbacks, cancellation, awaiting."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import inspect
import sys
import traceback
import types
import weakref

import pytest

import boros

var = contextvars.ContextVar("var", default="unset")


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture
def future(loop):
    return loop.create_future()


# The life of a future


def test_a_new_future(loop, future):
    assert isinstance(future, asyncio.Future)
    assert asyncio.isfuture(future)
    assert inspect.isawaitable(future)
    assert not future.done() and not future.cancelled()
    assert future.get_loop() is loop
    assert future._state == "PENDING"
    assert future._asyncio_future_blocking is False
    assert not future._callbacks
    with pytest.raises(asyncio.InvalidStateError, match="Result is not set."):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match="Exception is not set."):
        future.exception()


@pytest.mark.parametrize("value", [None, 0, "x", (), (1, 2), [], StopIteration(5), ValueError("v")])
def test_a_result(loop, future, value):
    future.set_result(value)
    assert future.done() and not future.cancelled()
    assert future.result() is value and future.result() is value
    assert future.exception() is None
    assert future._state == "FINISHED"

    async def main():
        return await future

    assert loop.run_until_complete(main()) is value
    assert loop.run_until_complete(future) is value


def test_a_future_is_done_once(future):
    future.set_result(1)
    for attempt in (lambda: future.set_result(2), lambda: future.set_exception(ValueError())):
        with pytest.raises(asyncio.InvalidStateError):
            attempt()
    assert future.cancel() is False
    assert future.result() == 1


def test_a_failed_future_is_done_once(future):
    error = ValueError("first")
    future.set_exception(error)
    for attempt in (lambda: future.set_result(2), lambda: future.set_exception(KeyError())):
        with pytest.raises(asyncio.InvalidStateError):
            attempt()
    assert future.cancel() is False
    assert future.exception() is error


def test_a_cancelled_future_is_done_once(future):
    assert future.cancel() is True
    assert future.cancel() is False
    assert future.cancelled() and future.done() and future._state == "CANCELLED"
    for attempt in (lambda: future.set_result(2), lambda: future.set_exception(KeyError())):
        with pytest.raises(asyncio.InvalidStateError):
            attempt()
    for attempt in (future.result, future.exception):
        with pytest.raises(asyncio.CancelledError):
            attempt()


def test_an_exception_given_as_class_or_instance(loop):
    for given in (ValueError, ValueError("x"), KeyboardInterrupt, SystemExit(2), BaseException()):
        future = loop.create_future()
        future.set_exception(given)
        with pytest.raises(given if isinstance(given, type) else type(given)):
            future.result()
        assert isinstance(future.exception(), BaseException)


@pytest.mark.parametrize("bad", [None, 1, "ValueError", int, object()])
def test_what_is_no_exception_is_refused(future, bad):
    with pytest.raises(TypeError):
        future.set_exception(bad)
    assert not future.done()


def test_an_exception_whose_class_cannot_be_called_without_arguments(future):
    class Picky(Exception):
        def __init__(self, needed):
            pass

    with pytest.raises(TypeError):
        future.set_exception(Picky)
    assert not future.done()


def test_stop_iteration_cannot_be_an_exception(future):
    given = StopIteration(3)
    try:
        future.set_exception(given)
        refused = None
    except TypeError as failure:
        refused = failure
    # A patch release of 3.12 began to take it, as something else.
    assert (refused is None) or sys.version_info < (3, 13)
    if refused is None:
        with pytest.raises(RuntimeError, match="StopIteration interacts badly") as info:
            future.result()
        assert info.value.__cause__ is given
    else:
        assert "StopIteration interacts badly" in str(refused)
        assert not future.done()


def test_an_exception_raised_again_and_again_does_not_grow_its_traceback(future):
    try:
        raise ValueError("x")
    except ValueError as failure:
        future.set_exception(failure)
    depths = []
    for _ in range(5):
        try:
            future.result()
        except ValueError as failure:
            depths.append(len(traceback.extract_tb(failure.__traceback__)))
    assert max(depths) <= 2


def test_awaiting_a_failed_future_several_times(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("x"))
        depths = set()
        for _ in range(5):
            try:
                await future
            except ValueError as failure:
                depths.add(len(traceback.extract_tb(failure.__traceback__)))
        assert max(depths) <= 2

    run(main())


def test_cancel_messages(loop):
    for message in (None, "why", 42):
        future = loop.create_future()
        future.cancel(message) if message is not None else future.cancel()
        assert future._cancel_message == message
        with pytest.raises(asyncio.CancelledError) as info:
            future.result()
        assert info.value.args == (() if message is None else (message,))
        future = loop.create_future()
        future.cancel(msg=message)

        async def main(future=future):
            await future

        with pytest.raises(asyncio.CancelledError) as info:
            loop.run_until_complete(main())
        assert info.value.args == (() if message is None else (message,))


# Callbacks


def test_callbacks_are_called_in_order_with_the_future_and_not_at_once(loop, future):
    order = []
    for number in range(5):
        future.add_done_callback(lambda f, number=number: order.append((number, f is future)))
    future.set_result(None)
    assert not order
    turn(loop)
    assert order == [(number, True) for number in range(5)]


def test_a_callback_added_to_a_done_future_is_called_soon(loop, future):
    order = []
    future.set_result(1)
    future.add_done_callback(order.append)
    assert not order
    turn(loop)
    assert order == [future]


def test_callbacks_come_in_line_with_call_soon(loop, future):
    order = []
    loop.call_soon(order.append, 1)
    future.add_done_callback(lambda _: order.append(2))
    future.set_result(None)
    loop.call_soon(order.append, 3)
    turn(loop)
    assert order == [1, 2, 3]


def test_the_same_callback_twice_and_removal(loop, future):
    order = []
    other = []
    future.add_done_callback(order.append)
    future.add_done_callback(other.append)
    future.add_done_callback(order.append)
    assert future.remove_done_callback(print) == 0
    assert future.remove_done_callback(order.append) == 2
    assert future.remove_done_callback(order.append) == 0
    future.add_done_callback(other.append)
    future.set_result(1)
    assert future.remove_done_callback(other.append) == 0
    turn(loop)
    assert order == [] and other == [future, future]


def test_removal_compares_by_identity_first_and_then_by_equality(future):
    class Odd:
        def __call__(self, _):
            pass

        def __eq__(self, other):
            return False

        __hash__ = None

    class Same:
        def __call__(self, _):
            pass

        def __eq__(self, other):
            return isinstance(other, Same)

        __hash__ = None

    odd = Odd()
    future.add_done_callback(odd)
    if isinstance(future, asyncio.futures._CFuture) or isinstance(future, boros.Future):
        assert future.remove_done_callback(odd) == 1
    future.add_done_callback(Same())
    future.add_done_callback(Same())
    assert future.remove_done_callback(Same()) == 2


def test_a_comparison_that_raises_leaves_the_list_as_it_was(future):
    class Bad:
        def __call__(self, _):
            pass

        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

    future.add_done_callback(Bad())
    future.add_done_callback(print)
    with pytest.raises(ZeroDivisionError):
        future.remove_done_callback(print)
    assert len(future._callbacks) == 2


def test_a_comparison_that_changes_the_list(future):
    changed = []

    class Evil:
        def __call__(self, _):
            pass

        def __eq__(self, other):
            if not changed:
                changed.append(True)
                future.remove_done_callback(print)
                future.add_done_callback(repr)
                gc.collect()
            return True

        __hash__ = None

    for _ in range(3):
        future.add_done_callback(Evil())
        future.add_done_callback(print)
    future.remove_done_callback(print)
    future.cancel()


def test_a_comparison_that_finishes_the_future(loop, future):
    class Evil:
        def __call__(self, _):
            pass

        def __eq__(self, other):
            if not future.done():
                future.set_result(1)
            return False

        __hash__ = None

    for _ in range(3):
        future.add_done_callback(Evil())
    future.remove_done_callback(print)
    assert future.result() == 1
    turn(loop)


def test_callbacks_that_add_and_remove_callbacks(loop, future):
    order = []

    def first(f):
        order.append("first")
        f.add_done_callback(lambda _: order.append("added"))
        # Too late: it is scheduled already.
        assert f.remove_done_callback(second) == 0

    def second(f):
        order.append("second")

    future.add_done_callback(first)
    future.add_done_callback(second)
    future.set_result(None)
    turn(loop)
    turn(loop)
    assert order == ["first", "second", "added"]


def test_a_callback_that_raises_is_reported_and_the_others_run(loop, future, reports):
    order = []

    def bad(_):
        raise ValueError("bad")

    future.add_done_callback(bad)
    future.add_done_callback(lambda _: order.append(1))
    future.set_result(None)
    turn(loop)
    assert order == [1]
    (report,) = reports
    assert set(report) == {"message", "exception", "handle"}
    assert report["message"].startswith("Exception in callback ")
    assert "bad" in report["message"]
    assert isinstance(report["handle"], asyncio.Handle)


def test_a_callback_that_is_not_callable_is_reported(loop, future, reports):
    future.add_done_callback(42)
    future.set_result(None)
    turn(loop)
    assert type(reports[0]["exception"]) is TypeError


def test_callbacks_run_in_their_contexts(loop, future):
    seen = []
    context = contextvars.copy_context()
    context.run(var.set, "given")
    var.set("here")
    future.add_done_callback(lambda _: seen.append(var.get()))
    future.add_done_callback(lambda _: seen.append(var.get()), context=context)
    var.set("later")
    future.set_result(None)
    turn(loop)
    assert seen == ["here", "given"]
    var.set("unset")


def test_the_list_of_callbacks_is_shown(future):
    assert not future._callbacks
    future.add_done_callback(print)
    future.add_done_callback(len)
    shown = list(future._callbacks)
    assert [entry[0] for entry in shown] == [print, len]
    assert all(isinstance(entry[1], contextvars.Context) for entry in shown)


def test_a_cancelled_future_calls_its_callbacks(loop, future):
    order = []
    future.add_done_callback(lambda f: order.append(f.cancelled()))
    future.cancel()
    turn(loop)
    assert order == [True]


# Awaiting


def test_several_tasks_await_one_future(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        order = []

        async def wait(number):
            order.append((number, await future))

        tasks = [asyncio.create_task(wait(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert len(future._callbacks) == 5
        future.set_result("r")
        await asyncio.gather(*tasks)
        assert order == [(number, "r") for number in range(5)]

    run(main())


def test_a_done_future_is_awaited_without_a_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.set_result(5)
        turns = []
        loop.call_soon(turns.append, 1)
        assert await future == 5
        assert not turns
        await asyncio.sleep(0)
        assert turns

    run(main())


def test_the_iterator_of_a_future(loop, future):
    iterator = iter(future)
    assert iter(iterator) is iterator
    assert next(iterator) is future
    assert future._asyncio_future_blocking is True
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(iterator)
    future.set_result((1, 2))
    with pytest.raises(StopIteration) as info:
        next(iterator)
    assert info.value.value == (1, 2)
    with pytest.raises(StopIteration) as info:
        next(iterator)
    assert info.value.value is None


@pytest.mark.parametrize("value", [None, 1, (), (1,), StopIteration(4), ValueError("v")])
def test_the_iterator_returns_any_value_whole(loop, value):
    for step in (next, lambda iterator: iterator.send(None)):
        future = loop.create_future()
        future.set_result(value)
        with pytest.raises(StopIteration) as info:
            step(future.__await__())
        assert info.value.value is value


def test_throwing_into_the_iterator(loop):
    future = loop.create_future()
    iterator = future.__await__()
    next(iterator)
    error = ValueError("x")
    with pytest.raises(ValueError) as info:
        iterator.throw(error)
    assert info.value is error
    with pytest.raises(StopIteration):
        next(iterator)
    with pytest.raises(ValueError):
        loop.create_future().__await__().throw(ValueError)
    with pytest.raises(TypeError):
        loop.create_future().__await__().throw(1)
    with pytest.raises(TypeError):
        loop.create_future().__await__().throw(object)


def test_closing_the_iterator(loop, future):
    iterator = future.__await__()
    next(iterator)
    iterator.close()
    iterator.close()
    with pytest.raises(StopIteration):
        next(iterator)


def test_yield_from_in_a_generator(loop, future):
    @types.coroutine
    def generator():
        return (yield from future)

    loop.call_soon(future.set_result, "through")
    assert loop.run_until_complete(generator()) == "through"


def test_a_plain_yield_of_a_future_is_refused(loop, future):
    @types.coroutine
    def generator():
        yield future

    with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
        loop.run_until_complete(generator())


def test_yielding_nonsense_is_thrown_back(loop):
    seen = []

    @types.coroutine
    def generator():
        for thing in (1, "x", object(), [], 3.5):
            try:
                yield thing
            except RuntimeError as failure:
                seen.append(str(failure).split(":")[0])
        yield
        return "alive"

    assert loop.run_until_complete(generator()) == "alive"
    assert seen == ["Task got bad yield"] * 5


def test_yielding_a_generator_is_thrown_back(loop):
    @types.coroutine
    def generator():
        yield (x for x in ())

    with pytest.raises(RuntimeError, match="yield was used instead of yield from for generator"):
        loop.run_until_complete(generator())


def test_the_future_of_another_loop_cannot_be_awaited(loop, new_loop):
    other = new_loop()
    future = other.create_future()

    async def main():
        await future

    with pytest.raises(RuntimeError, match="attached to a different loop"):
        loop.run_until_complete(main())
    other.close()


def test_send_to_the_iterator_ignores_the_value(loop, future):
    iterator = future.__await__()
    assert iterator.send(None) is future
    future.set_result(1)
    with pytest.raises(StopIteration):
        iterator.send(object())


def test_flags_can_be_set_as_custom_tasks_do(future):
    future._asyncio_future_blocking = 1
    assert future._asyncio_future_blocking is True
    future._asyncio_future_blocking = False
    assert next(iter(future)) is future
    with pytest.raises(ValueError):
        future._log_traceback = True
    future._log_traceback = False


# Odds and ends


def test_repr(loop):
    future = loop.create_future()
    assert repr(future) == "<Future pending>"
    future.add_done_callback(print)
    assert repr(future).startswith("<Future pending cb=[")
    future.set_result([1])
    assert repr(future) == "<Future finished result=[1]>"
    turn(loop)
    future = loop.create_future()
    future.set_exception(ValueError("x"))
    assert repr(future) == "<Future finished exception=ValueError('x')>"
    future.exception()
    future = loop.create_future()
    future.cancel()
    assert repr(future) == "<Future cancelled>"


def test_repr_of_a_future_that_contains_itself(loop, future):
    future.set_result(future)
    assert "<Future finished result=" in repr(future)
    future = loop.create_future()
    future.set_result([future])
    assert "..." in repr(future)


def test_a_repr_that_raises(loop, future):
    class Bad:
        def __repr__(self):
            raise ZeroDivisionError

    future.set_result(Bad())
    text = repr(future)
    assert "Bad" in text


def test_attributes_and_weak_references(loop):
    future = loop.create_future()
    if isinstance(loop, boros.EventLoop):
        future.note = 1
        assert future.note == 1
    gone = []
    ref = weakref.ref(future, gone.append)
    future.add_done_callback(lambda f: f)
    assert ref() is future
    del future
    gc.collect()
    assert ref() is None and len(gone) == 1


def test_generic_alias():
    assert boros.Future[int].__origin__ is boros.Future
    assert boros.Task[int].__origin__ is boros.Task


def test_futures_cannot_be_copied_or_pickled(future):
    import copy
    import pickle

    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            attempt(future)


def test_an_uninitialised_future_is_refused():
    future = boros.Future.__new__(boros.Future)
    for attempt in (
        lambda: future.set_result(1),
        lambda: future.set_exception(ValueError()),
        lambda: future.cancel(),
        lambda: future.add_done_callback(print),
        lambda: future.remove_done_callback(print),
        lambda: future.get_loop(),
        lambda: iter(future),
    ):
        with pytest.raises(RuntimeError, match="not initialized"):
            attempt()
    with pytest.raises(asyncio.InvalidStateError):
        future.result()
    assert "Future" in repr(future)


def test_a_future_made_by_its_class(loop):
    future = boros.Future(loop=loop)
    assert future.get_loop() is loop

    async def main():
        mine = boros.Future()
        assert mine.get_loop() is asyncio.get_running_loop()
        asyncio.get_running_loop().call_soon(mine.set_result, 1)
        return await mine

    assert loop.run_until_complete(main()) == 1
    with pytest.raises(TypeError):
        boros.Future(loop)
    with pytest.raises(TypeError):
        boros.Future(nonsense=1)


def test_a_future_initialised_again_is_new(loop):
    future = boros.Future(loop=loop)
    future.add_done_callback(print)
    future.set_exception(ValueError())
    future.__init__(loop=loop)
    assert not future.done() and not future._callbacks
    future.set_result(1)
    assert future.result() == 1


def test_wrapping_futures(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        assert asyncio.wrap_future(future) is future
        assert asyncio.ensure_future(future) is future
        pool = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(pool)
        assert isinstance(wrapped, asyncio.Future)
        pool.set_result(3)
        assert await wrapped == 3
        pool = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(pool)
        wrapped.cancel()
        await asyncio.sleep(0)
        assert pool.cancelled()
        pool = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(pool)
        pool.cancel()
        pool.set_running_or_notify_cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    run(main())


def test_a_concurrent_future_cannot_be_awaited(run):
    async def main():
        pool = concurrent.futures.Future()
        with pytest.raises(TypeError):
            await pool

    run(main())


def test_results_that_lead_back_to_the_future_are_collected(loop):
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    future = loop.create_future()
    thing.future = future
    future.set_result(thing)
    del thing, future
    gc.collect()
    assert ref() is None

    future = loop.create_future()
    thing = Thing()
    ref = weakref.ref(thing)
    future.add_done_callback(lambda _, thing=thing: None)
    thing.future = future
    del thing, future
    gc.collect()
    assert ref() is None


def test_what_is_dropped_by_a_future_may_use_it(loop):
    """Finalizers that run while a future lets go of something."""

    class Evil:
        def __init__(self, future):
            self.future = future

        def __call__(self, _):
            pass

        def __del__(self):
            self.future.done()
            if loop.is_closed():
                return
            self.future.add_done_callback(print)
            self.future.remove_done_callback(print)
            repr(self.future)
            self.future.cancel("again")

    future = loop.create_future()
    future.add_done_callback(Evil(future))
    future.remove_done_callback(next(iter(future._callbacks))[0])
    future = loop.create_future()
    future.cancel(Evil(future))
    with pytest.raises(asyncio.CancelledError):
        future.result()
    if isinstance(future, boros.Future):
        future.__init__(loop=loop)
    turn(loop)
