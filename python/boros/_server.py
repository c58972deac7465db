"""Listening sockets as one object: CPython's ``asyncio.base_events.Server``."""

from __future__ import annotations

import asyncio
import socket
import sys
import weakref
from asyncio import trsock
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boros._boros import StreamTransport
    from boros._part import Part

__all__ = ["Server"]

# Before, a closed server was not waited for (CPython's gh-79033).
_WAITS_FOR_CLIENTS = sys.version_info >= (3, 12, 1)


class Server(asyncio.AbstractServer):
    """What listens on some sockets and makes a transport and a protocol of each connection.

    Made by ``loop.create_server`` and ``loop.create_unix_server``. Only for the loop's thread.
    """

    def __init__(
        self,
        loop: Part,
        sockets: Sequence[socket.socket],
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        backlog: int,
    ) -> None:
        self._loop = loop
        self._sockets: Sequence[socket.socket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        # Weak, so that a transport that was forgotten is still noticed.
        self._clients: weakref.WeakSet[StreamTransport] = weakref.WeakSet()
        self._unnamed_clients = 0
        self._waiters: list[asyncio.Future[None]] | None = []
        self._serving = False
        self._serving_forever_fut: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    def _attach(self, transport: StreamTransport | None = None) -> None:
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        if transport is None:
            # Up to 3.12 asyncio's servers count their connections, and so do those who attach others.
            self._unnamed_clients += 1
        else:
            self._clients.add(transport)

    def _detach(self, transport: StreamTransport | None = None) -> None:
        if transport is None:
            self._unnamed_clients -= 1
        else:
            self._clients.discard(transport)
        self._wake_if_done()

    def _wake_if_done(self) -> None:
        if (
            self._clients
            or self._unnamed_clients
            or self._sockets is not None
            or self._waiters is None
        ):
            return
        waiters, self._waiters = self._waiters, None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _start_serving(self) -> None:
        if self._serving:
            return
        self._serving = True
        for sock in self._sockets:  # type: ignore[union-attr]
            sock.listen(self._backlog)
            self._loop._start_serving(self._protocol_factory, sock, self, self._backlog)

    @property
    def sockets(self) -> tuple[trsock.TransportSocket, ...]:
        """The listening sockets, as objects that cannot be read, written or closed; empty once closed."""
        if self._sockets is None:
            return ()
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Accept connections. Has no effect the second time."""
        self._start_serving()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; the server is closed then.

        Raises :exc:`RuntimeError` if it is closed already, or awaited in this way by somebody else.
        """
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self._loop.create_future()
        try:
            await self._serving_forever_fut
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever_fut = None

    def close(self) -> None:
        """Stop listening and close the sockets. Connections that were accepted stay."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        for sock in sockets:
            self._loop._stop_serving(sock)
        self._serving = False
        forever = self._serving_forever_fut
        if forever is not None and not forever.done():
            forever.cancel()
            self._serving_forever_fut = None
        self._wake_if_done()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its connections are gone.

        On Python 3.11 a server that is closed already is not waited for, as in that version's asyncio.
        """
        if self._waiters is None:
            return
        if self._sockets is None and not _WAITS_FOR_CLIENTS:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def close_clients(self) -> None:
        """Close the transports of all connections."""
        for transport in self._clients.copy():
            transport.close()

    def abort_clients(self) -> None:
        """Close the transports of all connections at once, with what they have not sent."""
        for transport in self._clients.copy():
            transport.abort()
