"""Several addresses fetched at once, as one wrote it before async and await."""

import asyncio
import sys

import aiohttp


@asyncio.coroutine
def fetch(address):
    print("Start", address)
    response = yield from aiohttp.request("GET", address)
    print("Done", address, response.status)


@asyncio.coroutine
def fetch_all(addresses):
    tasks = [asyncio.Task(fetch(address)) for address in addresses]
    yield from asyncio.gather(*tasks)


asyncio.get_event_loop().run_until_complete(fetch_all(sys.argv[1:]))
