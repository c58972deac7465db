"""Happy eyeballs (RFC 8305): several addresses tried, each with a head start on the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import socket

    from boros._part import AddressInfo

    _Attempt: TypeAlias = asyncio.Task[socket.socket]


async def race(
    loop: asyncio.AbstractEventLoop,
    connect: Callable[[AddressInfo], Coroutine[Any, Any, socket.socket]],
    addresses: Iterable[AddressInfo],
    delay: float,
) -> socket.socket | None:
    """Return the first socket that ``connect(address)`` connects, or None if every attempt fails.

    The next attempt starts when the latest one has failed with an :exc:`OSError`, or ``delay`` seconds
    after it began. Any other exception ends the race and is raised. However the race ends, it leaves
    neither a task nor a socket behind, but for the returned one.
    """
    addresses = iter(addresses)
    attempts: list[_Attempt] = []
    running: set[_Attempt] = set()
    winner: _Attempt | None = None
    try:
        while True:
            latest = next_start = None
            for address in addresses:
                latest = loop.create_task(connect(address))
                next_start = loop.time() + delay
                attempts.append(latest)
                running.add(latest)
                break
            if not running:
                return None
            while running:
                timeout = None if next_start is None else max(0, next_start - loop.time())
                done, running = await asyncio.wait(
                    running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                for attempt in done:
                    if attempt.cancelled() or not isinstance(attempt.exception(), OSError):
                        sock = attempt.result()
                        winner = attempt
                        return sock
                if latest in done or not done:
                    break
    finally:
        try:
            await dismiss(attempt for attempt in attempts if attempt is not winner)
        except BaseException:
            if winner is not None:
                winner.result().close()
            raise
        finally:
            # They refer to each other by way of their exceptions.
            attempts = running = winner = latest = attempt = None  # type: ignore[assignment]


async def dismiss(attempts: Iterable[_Attempt]) -> None:
    """End ``attempts`` and close what they have connected."""
    running = []
    for attempt in attempts:
        if attempt.done():
            close_connected(attempt)
        else:
            attempt.cancel()
            # Also if nobody waits for it any more.
            attempt.add_done_callback(close_connected)
            running.append(attempt)
    if running:
        await asyncio.wait(running)


def close_connected(attempt: _Attempt) -> None:
    """Close the socket of an attempt, if it has got that far."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
