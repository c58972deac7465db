"""What a part of the event loop may expect of the whole: known to type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Part"]

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence
    from ssl import SSLContext
    from typing import Any, TypeAlias

    from boros._boros import Loop

    #: What ``socket.getaddrinfo`` says of one address: family, type, protocol, name, address.
    AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
    #: What an exception handler is told.
    Report: TypeAlias = dict[str, Any]
    ExceptionHandler: TypeAlias = Callable[[asyncio.AbstractEventLoop, Report], object]

    class Part(Loop, asyncio.AbstractEventLoop):
        """A base of :class:`boros.EventLoop` beside the native one."""

        async def _ensure_resolved(
            self,
            address: Any,
            *,
            family: int = 0,
            type: int = ...,
            proto: int = 0,
            flags: int = 0,
            loop: asyncio.AbstractEventLoop,
        ) -> Sequence[AddressInfo]: ...
        def _check_socket(self, sock: socket.socket) -> None: ...
        async def _writable(self, sock: socket.socket) -> None: ...
        def _make_ssl_transport(
            self,
            rawsock: socket.socket,
            protocol: asyncio.BaseProtocol,
            sslcontext: SSLContext | None,
            waiter: asyncio.Future[None] | None = None,
            *,
            server_side: bool = False,
            server_hostname: str | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
        ) -> asyncio.Transport: ...
        def _tls_factory(
            self,
            protocol_factory: Callable[[], asyncio.BaseProtocol],
            sslcontext: SSLContext,
            ssl_handshake_timeout: float | None,
            ssl_shutdown_timeout: float | None,
        ) -> Callable[[], asyncio.BaseProtocol]: ...

else:
    Part = object
