"""The first asyncio's own ways: loop arguments, locks in a with, waits for coroutines."""

import asyncio


@asyncio.coroutine
def produce(queue, count, loop):
    for number in range(count):
        yield from queue.put(number)
        yield from asyncio.sleep(0.001, loop=loop)
    yield from queue.put(None)


@asyncio.coroutine
def consume(queue, lock, seen):
    while True:
        number = yield from queue.get()
        if number is None:
            return "consumed"
        with (yield from lock):
            seen.append(number)


@asyncio.coroutine
def immediate():
    return "not even a generator"


@asyncio.coroutine
def returns_a_future(loop):
    future = asyncio.Future(loop=loop)
    loop.call_later(0.001, future.set_result, "from the future")
    return future


def main():
    loop = asyncio.get_event_loop()
    queue, lock, seen = asyncio.Queue(2, loop=loop), asyncio.Lock(loop=loop), []
    pair = [produce(queue, 5, loop), consume(queue, lock, seen)]
    done, pending = loop.run_until_complete(asyncio.wait(pair, loop=loop, timeout=5))
    print(sorted(str(task.result()) for task in done), len(pending), seen)
    print(loop.run_until_complete(asyncio.gather(immediate(), returns_a_future(loop), loop=loop)))
    task = getattr(asyncio, "async")(immediate())
    print(asyncio.Task.all_tasks(loop) == {task}, loop.run_until_complete(task))
    loop.close()


main()
