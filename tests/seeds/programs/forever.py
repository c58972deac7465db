"""Tasks put on the current loop, which then runs until one of them stops it."""

import asyncio

from lucas import is_prime, lucas


async def repeat(message, pause):
    while True:
        print(message)
        await asyncio.sleep(pause)


async def print_primes(numbers, last):
    for number in numbers:
        if await is_prime(number):
            print("Found:", number)
        if number > last:
            scheduler.stop()
            return


scheduler = asyncio.get_event_loop()
message = scheduler.create_task(repeat("Message", 0))
print(message)
scheduler.create_task(print_primes(lucas(), 54018521))
scheduler.run_forever()

message.cancel()
scheduler.run_until_complete(asyncio.wait([message]))
scheduler.close()
