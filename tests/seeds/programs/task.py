"""The same with a task, which is a future that fills itself."""

import asyncio

from lucas import long_prime, lucas, search


async def watch(task, pause):
    while not task.done():
        print("Waiting")
        await asyncio.sleep(pause)
    print("Done!")


loop = asyncio.get_event_loop()
found = loop.create_task(search(lucas(), long_prime))
watcher = loop.create_task(watch(found, 0.001))
loop.run_until_complete(found)
print(found.result())
loop.run_until_complete(watcher)
loop.close()
