"""Memory: cycles, finalizers, weak references, and objects whose memory is used again."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import types
import weakref

import pytest

import boros


def turn(loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@types.coroutine
def once():
    yield


def resident() -> int:
    """Pages of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


class Thing:
    """Something to refer to weakly."""


def objects(*kinds) -> int:
    return sum(type(thing) in kinds for thing in gc.get_objects())


KINDS = (boros.Future, boros.Task)


# Cycles


def cycle_of_task_and_frame(loop, thing):
    async def work():
        me = asyncio.current_task()
        keep = thing
        await loop.create_future()
        return me, keep

    loop.create_task(work())._log_destroy_pending = False
    turn(loop)


def cycle_of_future_and_callback(loop, thing):
    future = loop.create_future()
    future.add_done_callback(lambda _: (future, thing))


def cycle_of_result(loop, thing):
    future = loop.create_future()
    future.set_result([future, thing])


def cycle_of_exception(loop, thing):
    future = loop.create_future()
    error = ValueError(future, thing)
    future.set_exception(error)
    future._log_traceback = False


def cycle_of_cancel_message(loop, thing):
    future = loop.create_future()
    future.cancel([future, thing])


def cycle_of_attribute(loop, thing):
    future = loop.create_future()
    if not hasattr(future, "__dict__"):
        return
    future.me = future
    future.thing = thing


def cycle_of_context(loop, thing):
    import contextvars

    var = contextvars.ContextVar("var")
    context = contextvars.copy_context()
    future = loop.create_future()
    context.run(var.set, (future, thing))
    future.add_done_callback(print, context=context)


def cycle_of_handle(loop, thing):
    box = []
    handle = loop.call_later(1000, lambda: (box, thing))
    box.append(handle)
    handle.cancel()


def cycle_of_two_tasks(loop, thing):
    tasks = []

    async def work(number):
        keep = thing
        await asyncio.sleep(0)
        await tasks[1 - number]
        return keep

    tasks += [loop.create_task(work(0)), loop.create_task(work(1))]
    for task in tasks:
        task._log_destroy_pending = False
    for _ in range(4):
        turn(loop)


def cycle_of_iterator(loop, thing):
    future = loop.create_future()
    iterator = future.__await__()
    next(iterator)
    future.add_done_callback(lambda _: (iterator, thing))


CYCLES = [
    cycle_of_task_and_frame,
    cycle_of_future_and_callback,
    cycle_of_result,
    cycle_of_exception,
    cycle_of_cancel_message,
    cycle_of_attribute,
    cycle_of_context,
    cycle_of_handle,
    cycle_of_two_tasks,
    cycle_of_iterator,
]


@pytest.mark.parametrize("make", CYCLES, ids=lambda make: make.__name__)
def test_cycles_are_collected(loop, make):
    # Twice, so that the second is made of what the first has left.
    for _ in range(2):
        thing = Thing()
        ref = weakref.ref(thing)
        make(loop, thing)
        del thing
        gc.collect()
        assert ref() is None


@pytest.mark.parametrize("make", CYCLES, ids=lambda make: make.__name__)
def test_many_cycles_stay_flat(loop, make):
    thing = Thing()

    def many(times):
        for _ in range(times):
            make(loop, thing)
        gc.collect()

    many(300)
    before, count = resident(), objects(*KINDS)
    many(1500)
    assert resident() - before < 1500
    assert objects(*KINDS) <= count + 10


def test_work_without_cycles_needs_no_collector(loop):
    """What ends in the ordinary way is freed at once."""

    async def work(number):
        await once()
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        return await future

    async def main():
        for number in range(20):
            assert await asyncio.create_task(work(number)) == number

    gc.collect()
    gc.disable()
    try:
        loop.run_until_complete(main())
        turn(loop)
        before = objects(*KINDS)
        loop.run_until_complete(main())
        turn(loop)
        assert objects(*KINDS) <= before
    finally:
        gc.enable()


def test_a_hundred_thousand_of_everything_stays_flat(loop):
    async def work():
        await once()

    async def some(times):
        for _ in range(times):
            task = asyncio.create_task(work())
            future = loop.create_future()
            loop.call_soon(future.set_result, 1)
            loop.call_later(0, len, ())
            loop.call_later(100, len, ()).cancel()
            await future
            await task

    loop.run_until_complete(some(2000))
    gc.collect()
    before = resident()
    loop.run_until_complete(some(20_000))
    gc.collect()
    assert resident() - before < 2000


# Memory that is used again


def test_new_objects_show_nothing_of_old_ones(loop):
    """A generation of objects in every state, then a new one, which must be untouched."""

    async def work(kind):
        if kind == 0:
            return "r"
        if kind == 1:
            raise ValueError("old")
        await asyncio.sleep(100)

    def old(number):
        future = loop.create_future()
        future.add_done_callback(len)
        future.remove_done_callback(len)
        [
            lambda: future.set_result("old"),
            lambda: future.set_exception(ValueError("old")),
            lambda: future.cancel("old"),
            lambda: future.__await__().send(None),
        ][number % 4]()
        future._log_traceback = False
        handle = loop.call_later(1000, len, "old")
        handle.cancel()
        loop.call_soon(len, "old").cancel()
        task = loop.create_task(work(number % 3), name="old")
        task.cancel("old") if number % 3 == 2 else None
        return task

    for round_ in range(3):
        tasks = [old(number) for number in range(100)]
        for _ in range(4):
            turn(loop)
        for task in tasks:
            task.cancelled() or task.exception()
        del task, tasks
        if round_ == 1:
            gc.collect()
        futures = [loop.create_future() for _ in range(150)]
        for future in futures:
            assert future._state == "PENDING"
            assert not future._callbacks
            assert future._asyncio_future_blocking is False
            assert future._log_traceback is False
            assert future._cancel_message is None
            assert future._result is None and future._exception is None
            assert future._source_traceback is None
            assert future.get_loop() is loop
            assert repr(future) == "<Future pending>"
            if hasattr(future, "__dict__"):
                assert vars(future) == {}
            assert weakref.getweakrefcount(future) == 0
            assert gc.is_tracked(future)
        fresh = [loop.create_task(work(0)) for _ in range(150)]
        for task in fresh:
            assert task._fut_waiter is None and task._must_cancel is False
            assert task.cancelling() == 0
            assert task.get_name().startswith("Task-")
            assert task._log_destroy_pending is True
            assert not task._callbacks and not task.done()
            assert gc.is_tracked(task)
        handles = [loop.call_soon(len, ()) for _ in range(150)]
        timers = [loop.call_later(0, len, ()) for _ in range(150)]
        for handle in handles + timers:
            assert not handle.cancelled()
            assert handle._args == ((),)
            assert gc.is_tracked(handle)
        del handle, handles, timers, future, futures, task
        for _ in range(3):
            turn(loop)
        assert [task.result() for task in fresh] == ["r"] * 150
        del fresh


def test_used_memory_is_known_to_the_collector_again(loop):
    for _ in range(5):
        future = loop.create_future()
        box = [future]
        assert box in gc.get_referrers(future)
        callback = [].append
        future.add_done_callback(callback)
        future.set_result(box)
        assert any(thing is box for thing in gc.get_referents(future))
        assert any(thing is loop for thing in gc.get_referents(future))
        turn(loop)
        del future, box


def test_what_was_referred_to_weakly_is_not_mixed_up(loop):
    gone = []
    refs = []
    for number in range(200):
        future = loop.create_future()
        refs.append(weakref.ref(future, lambda _, number=number: gone.append(number)))
        del future
        fresh = loop.create_future()
        assert weakref.getweakrefcount(fresh) == 0
        del fresh
    assert gone == list(range(200))
    assert all(ref() is None for ref in refs)


def test_attributes_do_not_survive(loop):
    if not hasattr(loop.create_future(), "__dict__"):
        return
    for _ in range(200):
        future = loop.create_future()
        assert not hasattr(future, "note")
        future.note = 1
        del future


def test_subclass_instances_are_kept_apart(loop):
    class MyFuture(boros.Future):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.note = []

    class MyTask(boros.Task):
        pass

    async def work():
        await once()
        return 1

    for _ in range(100):
        mine = MyFuture(loop=loop)
        assert type(mine) is MyFuture and mine.note == []
        mine.note.append(mine)
        plain = boros.Future(loop=loop)
        assert type(plain) is boros.Future
        task = MyTask(work(), loop=loop)
        task.note = 1
        other = loop.create_task(work()) if type(loop) is boros.EventLoop else None
        loop.run_until_complete(task)
        del mine, plain, task
        if other is not None:
            assert type(other) is boros.Task
            loop.run_until_complete(other)
    ref = weakref.ref(MyFuture(loop=loop))
    gc.collect()
    assert ref() is None


def test_a_finalizer_of_a_subclass(loop):
    """A Python class derived from ours may have a __del__, and call its base's."""
    said = []

    class MyFuture(boros.Future):
        def __del__(self):
            said.append(self.done())
            super().__del__()

    loop.set_exception_handler(lambda loop, context: said.append(context["message"]))
    future = MyFuture(loop=loop)
    future.set_exception(ValueError())
    del future
    gc.collect()
    assert said == [True, "MyFuture exception was never retrieved"]


def test_resurrection_by_a_subclass(loop):
    kept = []

    class MyFuture(boros.Future):
        def __del__(self):
            kept.append(self)

    for _ in range(10):
        future = MyFuture(loop=loop)
        future.set_result("kept")
        del future
    gc.collect()
    assert [future.result() for future in kept] == ["kept"] * 10
    fresh = [loop.create_future() for _ in range(100)]
    assert not {id(future) for future in kept} & {id(future) for future in fresh}
    kept.clear()


def test_a_frozen_heap(loop):
    futures = [loop.create_future() for _ in range(50)]
    gc.freeze()
    try:
        del futures
        fresh = [loop.create_future() for _ in range(50)]
        assert all(gc.is_tracked(future) for future in fresh)
        gc.collect()
        cycle_of_future_and_callback(loop, Thing())
    finally:
        gc.unfreeze()
    del fresh
    gc.collect()


def test_collections_at_every_step(loop):
    """With a threshold of one the collector runs in the middle of nearly everything."""

    async def work(number):
        if number:
            await asyncio.create_task(work(number - 1))
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        return await future

    old = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(3):
            assert loop.run_until_complete(work(10)) == 10
            future = loop.create_future()
            future.add_done_callback(lambda f: f)
            future.cancel()
            turn(loop)
    finally:
        gc.set_threshold(*old)


def test_finalizers_that_call_the_loop_back(loop):
    count = 0

    class Evil:
        def __init__(self):
            self.me = self

        def __call__(self, *_):
            pass

        def __del__(self):
            nonlocal count
            count += 1
            if loop.is_closed():
                return
            loop.call_soon(len, ())
            loop.call_later(0, len, ())
            future = loop.create_future()
            future.add_done_callback(lambda _: None)
            future.set_result(1)
            loop.create_task(asyncio.sleep(0))
            asyncio.all_tasks(loop)

    async def work(evil):
        await asyncio.sleep(0)

    for _ in range(30):
        loop.call_soon(Evil())
        loop.call_soon(Evil()).cancel()
        loop.call_later(1000, Evil()).cancel()
        loop.create_future().add_done_callback(Evil())
        loop.create_future().set_result(Evil())
        loop.run_until_complete(work(Evil()))
        gc.collect()
    for _ in range(5):
        turn(loop)
    assert count == 180


def test_weak_callbacks_that_call_the_loop_back(loop):
    seen = []

    def gone(ref):
        seen.append(ref)
        loop.call_soon(len, ())
        loop.create_future()

    refs = []
    for _ in range(50):
        future = loop.create_future()
        refs.append(weakref.ref(future, gone))
        del future
        handle = loop.call_later(1000, len)
        refs.append(weakref.ref(handle, gone))
        handle.cancel()
        del handle
    for _ in range(3):
        turn(loop)
    assert len(loop._scheduled) <= 50
    gc.collect()
    assert len(seen) >= 50


def test_the_collector_in_another_thread(loop):
    import threading

    stop = threading.Event()

    def collect():
        while not stop.is_set():
            gc.collect()

    thread = threading.Thread(target=collect)
    thread.start()

    async def main():
        for _ in range(200):
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(5)])
            cycle_of_future_and_callback(loop, Thing())

    try:
        loop.run_until_complete(main())
    finally:
        stop.set()
        thread.join()


def test_get_referrers_and_sizes(loop):
    future = loop.create_future()
    task = loop.create_task(asyncio.sleep(0))
    handle = loop.call_soon(len, ())
    timer = loop.call_later(0, len, ())
    for thing in (loop, future, task, handle, timer):
        assert sys.getsizeof(thing) > 0
        assert gc.is_tracked(thing)
        gc.get_referrers(thing)
        gc.get_referents(thing)
    loop.run_until_complete(task)


def test_handles_made_while_the_loop_runs_are_collected(loop):
    """Those that outlive their turn, in each way that they can."""
    refs = []

    def make(kind):
        box = []
        thing = Thing()
        refs.append(weakref.ref(thing))

        def callback():
            if kind == "raises":
                raise ValueError(box, thing)
            return box, thing

        handle = loop.call_soon(callback)
        box.append(handle)
        if kind == "cancelled":
            handle.cancel()
        elif kind == "never run":
            loop.stop()
        return handle

    async def main():
        for kind in ("run", "raises", "cancelled"):
            for _ in range(20):
                make(kind)
                await asyncio.sleep(0)

    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(main())
    loop.call_soon(make, "never run")
    loop.run_forever()
    gc.collect()
    assert [ref() is None for ref in refs] == [True] * 60 + [False]
    loop.close()
    gc.collect()
    assert all(ref() is None for ref in refs)


def test_an_open_loop_with_handles_made_while_it_ran_is_collected(loop_kind, new_loop):
    import warnings

    loop = new_loop()
    thing = Thing()
    ref = weakref.ref(thing)

    def make():
        loop.call_soon(lambda: (loop, thing))
        loop.stop()

    loop.call_soon(make)
    loop.run_forever()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = thing = make = None
        gc.collect()
    assert ref() is None


# Depth


def in_child(code: str, loop_kind: str, timeout: float = 60) -> None:
    """Run ``code`` in an interpreter of its own, with ``new_loop`` defined. It must exit with 0."""
    head = (
        "import asyncio, gc, sys, boros\n"
        + {
            "asyncio": "new_loop = asyncio.SelectorEventLoop\n",
            "boros": "new_loop = boros.new_event_loop\n",
        }[loop_kind]
    )
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONDEVMODE": ""},
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "link",
    [
        "future.set_result(chain)",
        "future.add_done_callback(chain.remove_done_callback)",
        "future.cancel(chain)",
        "chain.future = future; future, chain = chain, future",
        "future.set_result([chain])",
        "future.set_result(loop.call_later(1000, print, chain)); future.result().cancel()",
        "task = loop.create_task(wait(chain)); task._log_destroy_pending = False; future = task",
    ],
)
def test_long_chains_are_freed_without_end_of_the_stack(link):
    in_child(
        f"""
        import threading
        loop = new_loop()
        async def wait(future):
            await future
        def main():
            for collect in (False, True):
                chain = loop.create_future()
                for _ in range(100_000):
                    future = loop.create_future()
                    {link}
                    chain = future
                if collect:
                    chain = [chain]
                    chain.append(chain)
                    future = task = None
                loop.call_soon(loop.stop)
                loop.run_forever()
                del chain, future
                task = None
                gc.collect()
        threading.stack_size(512 * 1024)
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
        loop.close()
        """,
        "boros",
    )


@pytest.mark.timeout(120)
def test_long_chains_of_waiting_tasks(loop_kind):
    """Each task waits for the one before; the first one is done, and then all of them."""
    in_child(
        """
        loop = new_loop()
        async def wait(future):
            return await future
        async def main():
            first = future = loop.create_future()
            for _ in range(20_000):
                future = asyncio.create_task(wait(future))
            await asyncio.sleep(0)
            first.set_result(5)
            assert await future == 5
        loop.run_until_complete(main())
        loop.close()
        """,
        loop_kind,
    )


@pytest.mark.timeout(120)
def test_a_hundred_thousand_nested_callbacks():
    in_child(
        """
        loop = new_loop()
        count = 0
        def callback(future):
            global count
            count += 1
            if count < 100_000:
                fresh = loop.create_future()
                fresh.add_done_callback(callback)
                fresh.set_result(future)
            else:
                loop.stop()
        first = loop.create_future()
        first.add_done_callback(callback)
        first.set_result(None)
        loop.run_forever()
        assert count == 100_000
        del first
        gc.collect()
        loop.close()
        """,
        "boros",
    )
