"""A bare future, filled by one task and watched by another, waited for from outside."""

import asyncio
import sys

from lucas import is_prime, long_prime, lucas, search


async def search_for(numbers, wanted, future):
    try:
        found = await search(numbers, wanted)
    except ValueError as nothing:
        future.set_exception(nothing)
    else:
        future.set_result(found)


async def watch(future, pause):
    while not future.done():
        print("Waiting")
        await asyncio.sleep(pause)
    print("Done!")
    done.set()


loop = asyncio.get_event_loop()
done = asyncio.Event()
future = loop.create_future()
numbers = [4, 6, 8] if "hopeless" in sys.argv else lucas()
loop.create_task(search_for(numbers, is_prime if "hopeless" in sys.argv else long_prime, future))
loop.create_task(watch(future, 0.001))
try:
    loop.run_until_complete(future)
except ValueError as error:
    print("Failed:", error)
else:
    print(future.result())
loop.run_until_complete(done.wait())
loop.close()
