"""boros.compat.enable: programs of Python 3.4 to 3.9 run, and disable undoes it all."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import contextlib
import subprocess
import sys
import threading
import warnings

import pytest

import boros
from boros import compat, policy


@pytest.fixture(autouse=True)
def enabled():
    """Compatibility on, warnings errors; the main thread's loop closed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.enable()
        try:
            yield
            made = getattr(policy.current_policy(), "_chosen", threading.local())
            if getattr(made, "yes", False):
                # The program may have set "none".
                with contextlib.suppress(RuntimeError):
                    asyncio.get_event_loop().close()
        finally:
            compat.disable()


def start(make):
    """Run a coroutine function of the old kind as old programs did."""
    return asyncio.get_event_loop().run_until_complete(make())


def test_get_event_loop_makes_one_and_keeps_it():
    loop = asyncio.get_event_loop()
    assert isinstance(loop, boros.EventLoop)
    assert asyncio.get_event_loop() is loop
    loop.close()


def test_get_event_loop_after_none_was_set():
    asyncio.set_event_loop(None)
    with pytest.raises(RuntimeError, match="no current event loop"):
        asyncio.get_event_loop()


def test_get_event_loop_elsewhere_makes_none():
    seen = []

    def ask():
        try:
            asyncio.get_event_loop()
        except RuntimeError as error:
            seen.append(str(error))

    thread = threading.Thread(target=ask, name="other")
    thread.start()
    thread.join()
    assert "no current event loop in thread 'other'" in seen[0]


def test_without_policies(monkeypatch):
    compat.disable()
    monkeypatch.setattr(policy, "HAS_POLICIES", False)

    current = None

    def get():
        if current is None:
            raise RuntimeError("There is no current event loop")
        return current

    def set_event_loop(loop):
        nonlocal current
        current = loop

    # As a Python to come has them.
    monkeypatch.setattr(asyncio, "get_event_loop", get)
    monkeypatch.setattr(asyncio, "set_event_loop", set_event_loop)
    compat.enable()
    loop = asyncio.get_event_loop()
    assert isinstance(loop, boros.EventLoop) and asyncio.get_event_loop() is loop
    loop.close()
    compat.disable()
    assert asyncio.get_event_loop is get


def test_tasks_outside_the_loop():
    @asyncio.coroutine
    def double(x):
        yield from asyncio.sleep(0)
        return 2 * x

    tasks = [
        asyncio.Task(double(1)),
        asyncio.ensure_future(double(2)),
        getattr(asyncio, "async")(double(3)),
    ]
    assert all(isinstance(task, asyncio.Task) for task in tasks)
    assert isinstance(tasks[0], boros.Task)
    loop = asyncio.get_event_loop()
    assert loop.run_until_complete(asyncio.gather(*tasks)) == [2, 4, 6]
    assert loop.run_until_complete(asyncio.Task(double(4), loop=loop)) == 8
    assert not isinstance(loop.create_future(), asyncio.Task)
    assert issubclass(asyncio.Task, asyncio.Future) and asyncio.Task[int]


def test_subclass_of_task():
    class Named(asyncio.Task):
        color = "red"

    @asyncio.coroutine
    def nothing():
        yield
        return "nothing"

    task = Named(nothing())
    assert isinstance(task, Named) and isinstance(task, asyncio.Task) and task.color == "red"
    assert asyncio.get_event_loop().run_until_complete(task) == "nothing"
    assert not isinstance(asyncio.Task(nothing()), Named)
    start(lambda: asyncio.sleep(0))


def test_class_methods_of_task():
    @asyncio.coroutine
    def main():
        loop = asyncio.get_event_loop()
        other = asyncio.Task(asyncio.sleep(0))
        current = asyncio.Task.current_task()
        assert asyncio.Task.all_tasks() == asyncio.Task.all_tasks(loop) == {other, current}
        assert asyncio.Task.current_task(loop=loop) is current
        yield from other

    start(main)
    assert asyncio.Task.current_task() is None and asyncio.Task.all_tasks() == set()


def test_undecorated_generators_are_coroutines():
    def helper(value):
        yield from asyncio.sleep(0)
        queue = asyncio.Queue()
        yield from queue.put(value)
        return (yield from queue.get())

    loop = asyncio.get_event_loop()
    assert asyncio.iscoroutine(helper(1))
    task = asyncio.Task(helper(2))
    assert loop.run_until_complete(task) == 2
    assert loop.run_until_complete(asyncio.gather(helper(3), asyncio.ensure_future(helper(4)))) == [
        3,
        4,
    ]


def test_loop_arguments_of_functions():
    loop = asyncio.get_event_loop()

    @asyncio.coroutine
    def work(x):
        yield from asyncio.sleep(0, loop=loop)
        return x

    @asyncio.coroutine
    def main():
        assert (yield from asyncio.sleep(0, "slept", loop=loop)) == "slept"
        assert (yield from asyncio.wait_for(work(1), 5, loop=loop)) == 1
        assert (yield from asyncio.wait_for(work(1), timeout=None, loop=loop)) == 1
        assert (yield from asyncio.shield(work(2), loop=loop)) == 2
        assert (yield from asyncio.gather(work(3), work(4), loop=loop)) == [3, 4]
        same = work(5)
        assert (yield from asyncio.gather(same, same, loop=loop)) == [5, 5]
        done, pending = yield from asyncio.wait([work(6), work(7)], loop=loop, timeout=5)
        assert sorted(task.result() for task in done) == [6, 7] and not pending
        found = []
        for future in asyncio.as_completed([work(8), work(9)], loop=loop, timeout=5):
            found.append((yield from future))
        assert sorted(found) == [8, 9]
        with pytest.raises(asyncio.TimeoutError):
            yield from asyncio.wait_for(asyncio.Event(loop=loop).wait(), 0.01, loop=loop)
        results = yield from asyncio.gather(fail(), return_exceptions=True, loop=loop)
        assert isinstance(results[0], LookupError)

    @asyncio.coroutine
    def fail():
        raise LookupError

    loop.run_until_complete(main())


def test_gather_outside_the_loop():
    loop = asyncio.get_event_loop()
    assert loop.run_until_complete(asyncio.gather()) == []
    assert loop.run_until_complete(asyncio.gather(loop=loop)) == []
    other = boros.new_event_loop()
    assert other.run_until_complete(asyncio.gather(asyncio.sleep(0, 1), loop=other)) == [1]
    other.close()


def test_wait_of_coroutines_outside_the_loop():
    @asyncio.coroutine
    def work(x):
        yield
        return x

    loop = asyncio.get_event_loop()
    done, pending = loop.run_until_complete(asyncio.wait([work(1), work(2)]))
    assert {task.result() for task in done} == {1, 2} and not pending
    with pytest.raises(TypeError):
        loop.run_until_complete(asyncio.wait(asyncio.sleep(0)))
    with pytest.raises(ValueError):
        loop.run_until_complete(asyncio.wait([]))


@pytest.mark.parametrize("kind", ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore"])
def test_locks_with_a_loop_made_outside_it(kind):
    lock = getattr(asyncio, kind)(loop=asyncio.get_event_loop())

    @asyncio.coroutine
    def main():
        if kind == "Event":
            asyncio.get_event_loop().call_soon(lock.set)
            yield from lock.wait()
            return
        order = []

        @asyncio.coroutine
        def use(name):
            with (yield from lock):
                order.append(name)
                yield from asyncio.sleep(0)
                order.append(name)

        yield from asyncio.gather(use("a"), use("b"))
        assert order == ["a", "a", "b", "b"] and not lock.locked()
        yield from lock
        assert lock.locked()
        lock.release()

    start(main)


def test_with_await_of_a_lock():
    async def main():
        lock = asyncio.Lock()
        with await lock:
            assert lock.locked()
        assert not lock.locked()
        async with lock:
            assert lock.locked()

    start(main)


def test_condition():
    @asyncio.coroutine
    def main():
        condition = asyncio.Condition(asyncio.Lock(), loop=asyncio.get_event_loop())
        seen = []

        @asyncio.coroutine
        def waiter():
            with (yield from condition):
                yield from condition.wait_for(lambda: seen)
                seen.append("woken")

        task = asyncio.Task(waiter())
        yield from asyncio.sleep(0)
        with (yield from condition):
            seen.append("set")
            condition.notify_all()
        yield from task
        assert seen == ["set", "woken"]

    start(main)


@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue", "LifoQueue", "JoinableQueue"])
def test_queues(kind):
    queue = getattr(asyncio, kind)(maxsize=2, loop=asyncio.get_event_loop())
    got = []

    @asyncio.coroutine
    def consume():
        while True:
            got.append((yield from queue.get()))
            queue.task_done()

    @asyncio.coroutine
    def main():
        consumer = asyncio.Task(consume())
        for i in range(5):
            yield from queue.put(i)
        yield from queue.join()
        consumer.cancel()

    start(main)
    assert sorted(got) == [0, 1, 2, 3, 4]


def test_locks_without_a_loop_argument():
    queue, lock = asyncio.Queue(3), asyncio.Semaphore(2)
    assert queue.maxsize == 3 and lock._value == 2
    with pytest.raises(TypeError):
        asyncio.Lock(nonsense=1)


def test_futures_made_outside_the_loop():
    future = asyncio.Future()
    loop = asyncio.get_event_loop()
    loop.call_soon(future.set_result, 3)

    @asyncio.coroutine
    def main():
        return (yield from future)

    assert loop.run_until_complete(main()) == 3


def test_streams_with_a_loop():
    loop = asyncio.get_event_loop()

    @asyncio.coroutine
    def shout(reader, writer):
        line = yield from reader.readline()
        writer.write(line.upper())
        yield from writer.drain()
        writer.close()

    @asyncio.coroutine
    def main():
        server = yield from asyncio.start_server(shout, "127.0.0.1", 0, loop=loop)
        port = server.sockets[0].getsockname()[1]
        reader, writer = yield from asyncio.open_connection("127.0.0.1", port, loop=loop)
        writer.write(b"hello\n")
        answer = yield from reader.read()
        writer.close()
        server.close()
        yield from server.wait_closed()
        return answer

    assert loop.run_until_complete(main()) == b"HELLO\n"
    reader = asyncio.StreamReader(loop=loop)
    reader.feed_data(b"fed")
    reader.feed_eof()
    assert loop.run_until_complete(reader.read()) == b"fed"


def test_new_code_runs_as_before():
    async def work(x):
        await asyncio.sleep(0)
        return x

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(i)) for i in range(3)]
        async with asyncio.timeout(5):
            await asyncio.wait_for(work(1), 1)
        for future in asyncio.as_completed([work(3)]):
            assert await future == 3
        queue = asyncio.Queue()
        await queue.put(1)
        lock = asyncio.Lock()
        async with lock:
            pass
        assert await asyncio.to_thread(str, 1) == "1"
        return [task.result() for task in tasks], await queue.get(), await asyncio.gather(work(4))

    assert boros.run(main()) == ([0, 1, 2], 1, [4])


def test_iscoroutinefunction():
    @asyncio.coroutine
    def old():
        yield

    async def new():
        pass

    assert asyncio.iscoroutinefunction(old) and asyncio.iscoroutinefunction(new)
    assert not asyncio.iscoroutinefunction(test_iscoroutinefunction)
    assert asyncio.iscoroutinefunction(asyncio.sleep)


SURFACE = (
    asyncio, asyncio.coroutines, asyncio.subprocess, asyncio.Lock, asyncio.Event, asyncio.Condition,
    asyncio.Semaphore, asyncio.BoundedSemaphore, asyncio.Queue, asyncio.StreamReader,
    asyncio.StreamWriter, asyncio.subprocess.Process,
)  # fmt: skip


def test_disable_leaves_nothing():
    compat.disable()
    before = [dict(vars(owner)) for owner in SURFACE]
    finders, mine = list(sys.meta_path), policy.current_policy()
    compat.enable()
    compat.enable()
    assert [dict(vars(owner)) for owner in SURFACE] != before
    compat.disable()
    compat.disable()
    for owner, attributes in zip(SURFACE, before, strict=True):
        assert dict(vars(owner)) == attributes, owner
    assert sys.meta_path == finders and policy.current_policy() is mine
    generator = (x for x in ())
    assert asyncio.iscoroutine(generator) is (sys.version_info < (3, 12))


def test_enable_from_many_threads():
    compat.disable()
    before = dict(vars(asyncio))
    barrier = threading.Barrier(8)

    def race():
        barrier.wait()
        compat.enable()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compat.disable()
    assert dict(vars(asyncio)) == before


AIOHTTP = """
import asyncio, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import threading

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = "http://127.0.0.1:%d/" % server.server_port

{first}

@asyncio.coroutine
def fetch(size):
    response = yield from aiohttp.request("GET", base + str(size))
    body = yield from response.read()
    return response.status, len(body)

@asyncio.coroutine
def drop():
    yield from aiohttp.request("GET", base + "300")

@asyncio.coroutine
def refused():
    try:
        yield from aiohttp.request("GET", "http://127.0.0.1:1/")
    except aiohttp.ClientConnectorError:
        return "refused"

async def modern():
    async with aiohttp.request("GET", base + "5") as response:
        return await response.text()

loop = asyncio.get_event_loop()
print(loop.run_until_complete(asyncio.gather(fetch(0), fetch(10), fetch(3000000))))
loop.run_until_complete(drop())
print(loop.run_until_complete(refused()), loop.run_until_complete(modern()))
print(type(aiohttp.client.__loader__).__name__, type(aiohttp.client.__spec__.loader).__name__)
import gc
gc.collect()
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""


@pytest.mark.parametrize(
    "first",
    [
        "import boros.compat; boros.compat.enable(); import aiohttp",
        "import aiohttp, boros.compat; boros.compat.enable()",
    ],
)
def test_aiohttp_request(first):
    pytest.importorskip("aiohttp")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", AIOHTTP.format(first=first)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[(200, 0), (200, 10), (200, 3000000)]",
        "refused xxxxx",
        "SourceFileLoader SourceFileLoader",
    ]


def test_without_aiohttp_nothing_imports_it():
    done = subprocess.run(
        [
            sys.executable, "-c",
            "import boros.compat, sys; boros.compat.enable(); print('aiohttp' in sys.modules)",
        ],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.stdout == "False\n" and not done.stderr
