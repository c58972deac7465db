"""The handles that call_soon and its like give out."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

import boros

var = contextvars.ContextVar("var", default="unset")


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture(params=["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def schedule(request, loop):
    """Each way to have something called at once."""

    def schedule(callback, *args, **kwargs):
        method = getattr(loop, request.param)
        if request.param == "call_later":
            return method(-1, callback, *args, **kwargs)
        if request.param == "call_at":
            return method(loop.time() - 1, callback, *args, **kwargs)
        return method(callback, *args, **kwargs)

    return schedule


def test_a_handle_is_an_asyncio_handle(loop, schedule):
    handle = schedule(print)
    assert isinstance(handle, asyncio.Handle)
    assert isinstance(handle, asyncio.TimerHandle) == hasattr(handle, "when")
    assert handle.cancelled() is False
    handle.cancel()
    assert handle.cancelled() is True


def test_arguments_are_passed_on_as_they_are(loop, schedule):
    seen = []

    def callback(*args):
        seen.append(args)

    thing = [object()]
    schedule(callback)
    schedule(callback, thing, None, *range(20))
    turn(loop)
    assert seen == [(), (thing, None, *range(20))]
    assert seen[1][0] is thing


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_callback_is_not_called(loop, schedule, times):
    done = []
    handle = schedule(done.append, 1)
    for _ in range(times):
        assert handle.cancel() is None
    turn(loop)
    assert not done


def test_cancelling_in_an_earlier_callback_of_the_same_turn(loop, schedule):
    done = []
    schedule(lambda: handle.cancel())
    handle = schedule(done.append, 1)
    turn(loop)
    assert not done and handle.cancelled()


def test_cancelling_in_the_callback_itself_and_afterwards(loop, schedule):
    done = []

    def callback(value):
        handle.cancel()
        done.append(value)

    handle = schedule(callback, 1)
    turn(loop)
    assert done == [1] and handle.cancelled()
    other = schedule(done.append, 2)
    turn(loop)
    other.cancel()
    turn(loop)
    assert done == [1, 2] and other.cancelled()


def test_a_callback_that_cancels_its_handle_and_raises_is_reported(loop, schedule, reports):
    def callback():
        handle.cancel()
        raise ValueError("after cancel")

    handle = schedule(callback)
    turn(loop)
    assert str(reports[0]["exception"]) == "after cancel"
    assert reports[0]["handle"] is handle


def test_cancelling_lets_go_of_callback_and_arguments(loop, schedule):
    class Thing:
        def __call__(self, arg):
            pass

    callback, arg = Thing(), Thing()
    refs = weakref.ref(callback), weakref.ref(arg)
    handle = schedule(callback, arg)
    del callback, arg
    assert refs[0]() is not None
    handle.cancel()
    assert refs[0]() is None and refs[1]() is None
    turn(loop)


def test_a_callback_that_has_run_is_let_go_of(loop, schedule):
    class Thing:
        def __call__(self):
            pass

    thing = Thing()
    ref = weakref.ref(thing)
    schedule(thing)
    del thing
    turn(loop)
    assert ref() is None


def test_what_goes_with_a_cancelled_handle_may_use_the_loop(loop, schedule):
    done = []

    class Thing:
        def __call__(self):
            pass

        def __del__(self):
            handle.cancel()
            loop.call_soon(done.append, 1)
            loop.call_later(100, print).cancel()

    handle = schedule(Thing())
    handle.cancel()
    turn(loop)
    assert done == [1]


def test_repr_of_handles(loop, schedule):
    def callback(a, b=2):
        pass

    handle = schedule(callback, 1)
    text = repr(handle)
    kind = "TimerHandle" if hasattr(handle, "when") else "Handle"
    assert text.startswith(f"<{kind} ")
    if kind == "TimerHandle":
        assert f"when={handle.when()}" in text
    assert "callback" in text and "test_handles.py" in text
    handle.cancel()
    text = repr(handle)
    assert text.startswith(f"<{kind} cancelled")
    assert "callback" not in text


def test_repr_of_handles_in_debug_mode(loop, schedule):
    loop.set_debug(True)

    def callback():
        pass

    handle = schedule(callback)
    assert "created at" in repr(handle)
    before = repr(handle)
    handle.cancel()
    after = repr(handle)
    assert "callback" in after, "what was cancelled is still named"
    assert before.split("callback")[1][:20] == after.split("callback")[1][:20]
    turn(loop)


def test_when_is_the_loops_time(loop):
    before = loop.time()
    handle = loop.call_later(5, print)
    after = loop.time()
    assert before + 5 <= handle.when() <= after + 5
    handle.cancel()
    assert handle.when() >= before + 5
    at = loop.call_at(before + 1.25, print)
    assert at.when() == before + 1.25
    assert isinstance(at.when(), float)
    at.cancel()


def test_timer_handles_are_ordered_by_time(loop):
    now = loop.time() + 1000
    early, late = loop.call_at(now, print), loop.call_at(now + 1, print)
    assert early < late and early <= late and late > early and late >= early
    assert early != late and not early == late
    twin = loop.call_at(now, print)
    assert early == twin and not early != twin and early <= twin and early >= twin
    assert hash(early) == hash(twin)
    assert len({early, twin, late}) == 2
    twin.cancel()
    assert early != twin
    assert early != 1 and not early == "x"
    with pytest.raises(TypeError):
        early < 1  # noqa: B015
    early.cancel()
    late.cancel()


def test_plain_handles_are_hashable_and_equal_only_to_themselves(loop):
    one, two = loop.call_soon(print), loop.call_soon(print)
    assert one == one and one != two and len({one, two}) == 2
    one.cancel()
    two.cancel()


def test_handles_can_be_referred_to_weakly(loop, schedule):
    gone = []
    handle = schedule(print)
    ref = weakref.ref(handle, gone.append)
    assert ref() is handle
    handle.cancel()
    del handle
    turn(loop)
    gc.collect()
    assert ref() is None and gone == [ref]


def test_a_handle_runs_in_the_context_of_the_call(loop, schedule):
    seen = []
    var.set("before")
    handle = schedule(lambda: seen.append(var.get()))
    var.set("after")
    turn(loop)
    assert seen == ["before"]
    if hasattr(handle, "get_context"):
        assert handle.get_context()[var] == "before"
    var.set("unset")


def test_a_handle_runs_in_the_context_that_was_given(loop, schedule):
    seen = []
    context = contextvars.copy_context()
    context.run(var.set, "given")

    def callback():
        seen.append(var.get())
        var.set("changed")

    schedule(callback, context=context)
    turn(loop)
    assert seen == ["given"]
    assert context[var] == "changed"
    assert var.get() == "unset"
    schedule(callback, context=context)
    schedule(callback, context=None)
    turn(loop)
    assert seen == ["given", "changed", "unset"]


def test_what_is_no_context_is_reported_or_refused(loop, schedule, reports):
    done = []
    try:
        schedule(done.append, 1, context=42)
        turn(loop)
    except (TypeError, AttributeError):
        turn(loop)
    else:
        assert len(reports) == 1
    assert not done


def test_a_context_that_is_entered_already_is_reported(loop, loop_kind, schedule, reports):
    context = contextvars.copy_context()
    done = []
    schedule(done.append, 1, context=context)
    context.run(turn, loop)
    assert not done
    if loop_kind == "asyncio":
        # Its handler is called in that context too, from Python 3.12 on.
        return
    assert type(reports[0]["exception"]) is RuntimeError
    assert "already entered" in str(reports[0]["exception"])


def test_the_queue_can_be_looked_at(loop):
    one = loop.call_soon(print)
    two = loop.call_later(100, print)
    assert list(loop._ready) == [one]
    assert list(loop._scheduled) == [two]
    one.cancel()
    two.cancel()


def test_handles_of_boros_have_no_public_constructor_tricks():
    loop = boros.new_event_loop()
    handle = loop.call_soon(print)
    assert handle._callback is print
    assert handle._args == ()
    assert handle._loop is loop
    assert handle._cancelled is False
    handle.cancel()
    assert handle._callback is None and handle._args is None
    loop.close()
