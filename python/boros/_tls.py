"""TLS: the standard library's ``asyncio.sslproto`` over our transports."""

from __future__ import annotations

import asyncio
import functools
from asyncio import sslproto
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from boros._part import Part

try:
    import ssl
except ImportError:  # An interpreter that was built without OpenSSL.
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import socket
    from ssl import SSLContext

    from boros._boros import StreamTransport
    from boros._server import Server


class TLS(Part):
    """The methods that make transports which encrypt, of connections that are new or stand already.

    What encrypts is asyncio's own ``SSLProtocol``, a protocol over a transport of ours: it takes the
    program's :class:`ssl.SSLContext`, and its transports, errors, limits and timeouts are asyncio's.
    """

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Server | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Return a transport that does TLS over ``rawsock``, a connected non-blocking socket.

        ``waiter`` is set when the handshake is done; it fails as the handshake does.
        """
        self._ensure_fd_no_transport(rawsock)
        tls = Engine(
            self,
            protocol,
            sslcontext,  # type: ignore[arg-type]
            waiter,  # type: ignore[arg-type]
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, tls, extra=extra, server=server)
        return tls._app_transport

    async def start_tls(
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None:
        """Do the handshake of TLS over ``transport``; return the transport to use for ``protocol`` then.

        ``transport`` is one of this loop's, over a socket or over TLS. On the server's side, what a
        ``StreamReader`` behind ``protocol`` has received and nobody has read yet is taken for the
        beginning of the handshake.

        Raises :exc:`ssl.SSLError` and its like if the handshake fails, :exc:`ConnectionAbortedError`
        when it takes longer than ``ssl_handshake_timeout`` seconds, :exc:`TypeError` for transports
        that cannot do TLS and for what is no :class:`ssl.SSLContext`. The connection is closed then.
        """
        check_context(sslcontext)
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        tls = Engine(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        if getattr(transport, "_protocol_paused", False):
            # The transport will say when it takes more, but to another protocol than it told to wait.
            tls._ssl_writing_paused = tls._app_writing_paused = True  # type: ignore[attr-defined]
        # Nothing may come in before the handshake has begun.
        transport.pause_reading()  # type: ignore[attr-defined]
        transport.set_protocol(tls)
        if server_side:
            take_early_bytes(protocol, tls)
        made = self.call_soon(tls.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)  # type: ignore[attr-defined]
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return tls._app_transport

    def _tls_factory(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: SSLContext,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> Callable[[], asyncio.BaseProtocol]:
        """What makes the protocols of a server's connections that do TLS."""
        # Each connection would fail, and nobody would be told.
        check_positive(ssl_handshake_timeout, ssl_shutdown_timeout)
        return functools.partial(
            AcceptedTLS,
            self,
            protocol_factory,
            sslcontext,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
        )


class Engine(sslproto.SSLProtocol):
    """asyncio's protocol of TLS, a little more careful."""

    def _set_app_protocol(self, app_protocol: asyncio.BaseProtocol) -> None:
        super()._set_app_protocol(app_protocol)
        if isinstance(app_protocol, asyncio.BufferedProtocol):
            # It reads into slices, which of a bytearray are copies that nobody sees.
            lend = app_protocol.get_buffer
            self._app_protocol_get_buffer = lambda hint: memoryview(lend(hint))

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if isinstance(handshake_exc, ssl.SSLError):
            # The alert that tells the peer why.
            self._process_outgoing()  # type: ignore[attr-defined]
        super()._on_handshake_complete(handshake_exc)


class AcceptedTLS(Engine):
    """The server's side of a connection. A task waits for the handshake, which ends with that task."""

    def __init__(
        self,
        loop: TLS,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: SSLContext,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> None:
        super().__init__(
            loop,
            protocol_factory(),
            sslcontext,
            loop.create_future(),
            server_side=True,
            ssl_handshake_timeout=ssl_handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    def connection_made(self, transport: StreamTransport) -> None:  # type: ignore[override]
        """Start the handshake."""
        handshake = wait_for_handshake(
            self._loop, self._waiter, self._app_protocol, self._app_transport
        )
        self._loop.create_task(handshake)
        super().connection_made(transport)


async def wait_for_handshake(
    loop: asyncio.AbstractEventLoop,
    waiter: asyncio.Future[None],
    protocol: asyncio.BaseProtocol,
    transport: asyncio.Transport,
) -> None:
    """Close the connection if the handshake fails, which only debug mode reports."""
    try:
        try:
            await waiter
        except BaseException:
            transport.close()
            # What it raises refers to this frame.
            del waiter
            raise
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        if loop.get_debug():
            loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": failure,
                    "protocol": protocol,
                    "transport": transport,
                }
            )


def take_early_bytes(protocol: asyncio.BaseProtocol, tls: sslproto.SSLProtocol) -> None:
    """Move what a ``StreamReader`` has in store to the engine of TLS.

    A client may send the beginning of its handshake together with the last line in plain text. Newer
    versions of asyncio do the same (CPython's gh-142352).
    """
    if not isinstance(protocol, asyncio.StreamReaderProtocol):
        return
    reader = protocol._stream_reader  # type: ignore[attr-defined]
    if reader is not None and reader._buffer:
        tls._incoming.write(reader._buffer)  # type: ignore[attr-defined]
        reader._buffer.clear()
        # The transport is about to go on, whatever the reader asked for.
        reader._paused = False


def check_context(sslcontext: object) -> None:
    """Raise :exc:`TypeError` for what is no :class:`ssl.SSLContext`."""
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(
            f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
        )


def check_tls_timeouts(tls: object, handshake: float | None, shutdown: float | None) -> None:
    """Raise :exc:`ValueError` for timeouts of TLS where there is none."""
    if tls:
        return
    for name, value in (("ssl_handshake_timeout", handshake), ("ssl_shutdown_timeout", shutdown)):
        if value is not None:
            raise ValueError(f"{name} is only meaningful with ssl")


def check_positive(handshake: float | None, shutdown: float | None) -> None:
    """Raise :exc:`ValueError` for timeouts that are not positive."""
    for name, value in (("ssl_handshake_timeout", handshake), ("ssl_shutdown_timeout", shutdown)):
        if value is not None and value <= 0:
            raise ValueError(f"{name} should be a positive number, got {value}")
