"""A local HTTP server whose every answer takes a known time.

Started by fetch.py in a process of its own; says its port in a line on stdout
and ends when its stdin does, so that it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys

from aiohttp import web


def page(number: int) -> bytes:
    """The body of page *number*: some 20 KB that can be told from any other page's."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return "".join(f"page {number}, line {line}: {digest}\n" for line in range(250)).encode()


async def serve(delay: float) -> None:
    async def answer(request: web.Request) -> web.Response:
        # What stands for the work of a real server: its clock, not the client's.
        await asyncio.sleep(delay)
        return web.Response(body=page(int(request.match_info["number"])))

    app = web.Application()
    app.router.add_get(r"/page/{number:\d+}", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; ending is up to the client.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(float(sys.argv[1])))
