"""Connections and servers: sockets made, connected and bound, and handed to transports."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import functools
import os
import socket
import sys
from asyncio.log import logger
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from boros import _happy_eyeballs
from boros._addresses import interleave as interleave_infos
from boros._addresses import numeric_info
from boros._binding import (
    bind_all,
    bind_local,
    bind_unix,
    is_abstract,
    name_path,
    socket_module,
)
from boros._part import Part
from boros._server import Server
from boros._sockets import check_not_tls
from boros._tls import check_tls_timeouts

if TYPE_CHECKING:
    from ssl import SSLContext

    from _typeshed import StrOrBytesPath

    from boros._part import AddressInfo

    _TLS: TypeAlias = bool | SSLContext | None

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)


class Connections(Part):
    """The methods that make transports and servers.

    A socket that one of these methods made is closed when the method raises, whatever it raises. A
    socket that was passed in stays the caller's until a transport or a server has it.
    """

    # Streams

    async def create_connection(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        host: str | bytes | None = None,
        port: str | bytes | int | None = None,
        *,
        ssl: _TLS = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _ProtocolT]:
        """Connect to ``host`` and ``port``, or take the connected ``sock``; return transport and protocol.

        The addresses of the host are tried in turn; with ``happy_eyeballs_delay`` (in seconds), the next
        one also starts when the one before has not connected by then. If none connects, the exception
        tells all their errors, and with ``all_errors`` it is an :exc:`ExceptionGroup` of them.

        Raises :exc:`OSError` for what the network refuses and :exc:`ValueError` for arguments that
        contradict each other.
        """
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        if server_hostname is None and ssl:
            # An empty one, which asks for no check, has to be given on purpose.
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host  # type: ignore[assignment]
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            check_not_tls(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        elif sock.type != socket.SOCK_STREAM:
            # Unix sockets too: programs pass them, though there is a method of their own.
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")

        mine = sock is None
        if sock is None:
            if happy_eyeballs_delay is not None and interleave is None:
                interleave = 1
            sock = await self._connect_host(
                (host, port),
                local_addr,
                {
                    "family": family,
                    "type": socket.SOCK_STREAM,
                    "proto": proto,
                    "flags": flags,
                    "loop": self,
                },
                happy_eyeballs_delay,
                interleave,
                all_errors,
            )
        transport, protocol = await self._create_connection_transport(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            close_on_error=mine,
        )
        if self.get_debug():
            sock = transport.get_extra_info("socket")
            logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
        return transport, protocol

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        path: StrOrBytesPath | None = None,
        *,
        ssl: _TLS = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _ProtocolT]:
        """Connect to the Unix socket at ``path``, or take the connected ``sock``.

        ``path`` is a str, bytes or path object; a name that starts with a zero byte is abstract.
        Returns a transport and a protocol.
        """
        if ssl:
            if server_hostname is None:
                raise ValueError("you have to pass server_hostname when using ssl")
        elif server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
        elif sock is None:
            raise ValueError("no path and sock were specified")
        else:
            check_unix_stream(sock)

        mine = sock is None
        if sock is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self.sock_connect(sock, path)  # type: ignore[arg-type]
            except BaseException as failure:
                sock.close()
                name_path(failure, path)  # type: ignore[arg-type]
                raise
        return await self._create_connection_transport(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            close_on_error=mine,
        )

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        sock: socket.socket,
        *,
        ssl: _TLS = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _ProtocolT]:
        """Give a connection that was accepted elsewhere a transport and a protocol; return both."""
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        check_not_tls(sock)
        transport, protocol = await self._create_connection_transport(
            sock,
            protocol_factory,
            ssl,
            "",
            server_side=True,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if self.get_debug():
            sock = transport.get_extra_info("socket")
            logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
        return transport, protocol

    async def _create_connection_transport(
        self,
        sock: socket.socket,
        protocol_factory: Callable[[], _ProtocolT],
        ssl: _TLS,
        server_hostname: str | None,
        *,
        server_side: bool = False,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        close_on_error: bool = False,
    ) -> tuple[asyncio.Transport, _ProtocolT]:
        try:
            sock.setblocking(False)
            protocol = protocol_factory()
            self._ensure_fd_no_transport(sock)
            waiter = self.create_future()
            transport: asyncio.Transport
            if ssl:
                transport = self._make_ssl_transport(
                    sock,
                    protocol,
                    None if isinstance(ssl, bool) else ssl,
                    waiter,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=ssl_handshake_timeout,
                    ssl_shutdown_timeout=ssl_shutdown_timeout,
                )
            else:
                transport = self._make_socket_transport(sock, protocol, waiter)
        except BaseException:
            # From 3.14 on also a socket that was passed in: nobody else is left to close it.
            if close_on_error or sys.version_info >= (3, 14):
                sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _connect_host(
        self,
        address: tuple[str | bytes | None, str | bytes | int | None],
        local_address: tuple[str, int] | None,
        look_up: dict[str, Any],
        happy_eyeballs_delay: float | None,
        interleave: int | None,
        all_errors: bool,
    ) -> socket.socket:
        """Return a socket that is connected to one of the addresses of ``address``, a host and a port."""
        infos = await self._ensure_resolved(address, **look_up)
        if not infos:
            raise OSError("getaddrinfo() returned empty list")
        local_infos = None
        if local_address is not None:
            local_infos = await self._ensure_resolved(local_address, **look_up)
            if not local_infos:
                raise OSError("getaddrinfo() returned empty list")
        if interleave:
            infos = interleave_infos(infos, interleave)

        failures: list[list[OSError]] = []
        connect = functools.partial(self._connect_sock, failures, local_addr_infos=local_infos)
        try:
            if happy_eyeballs_delay is not None:
                sock = await _happy_eyeballs.race(self, connect, infos, happy_eyeballs_delay)
                if sock is not None:
                    return sock
            else:
                for info in infos:
                    try:
                        return await connect(info)
                    except OSError:
                        continue
            raise combined(sum(failures, []), all_errors)
        finally:
            # Exceptions refer to this frame.
            failures = connect = None  # type: ignore[assignment]

    async def _connect_sock(
        self,
        exceptions: list[list[OSError]],
        addr_info: AddressInfo,
        local_addr_infos: Sequence[AddressInfo] | None = None,
    ) -> socket.socket:
        """Make, bind and connect one socket. What goes wrong is added to ``exceptions`` as a list."""
        failures: list[OSError] = []
        exceptions.append(failures)
        family, type_, proto, _, address = addr_info
        sock: socket.socket | None = None
        try:
            sock = socket_module().socket(family=family, type=type_, proto=proto)
            sock.setblocking(False)
            if local_addr_infos is not None:
                bind_local(sock, local_addr_infos, failures)
            await self.sock_connect(sock, address)
            return sock
        except BaseException as failure:
            if sock is not None:
                # What went wrong before is what there is to tell.
                with contextlib.suppress(OSError):
                    sock.close()
            if isinstance(failure, OSError):
                failures.append(failure)
            raise
        finally:
            exceptions = failures = None  # type: ignore[assignment]

    async def _ensure_resolved(
        self,
        address: Any,
        *,
        family: int = 0,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        flags: int = 0,
        loop: asyncio.AbstractEventLoop,
    ) -> Sequence[AddressInfo]:
        host, port = address[:2]
        info = numeric_info(host, port, family, type, proto, *address[2:])
        if info is not None:
            return [info]
        return await loop.getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    # Servers

    # asyncio.Server is a class for asyncio's own loops; ours is another asyncio.AbstractServer.
    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: str | int | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: _TLS = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on ``port`` of ``host``, or on the bound ``sock``, and return a server.

        ``host`` is a name, a sequence of names, or None or ``""`` for all interfaces. IPv4 and IPv6 have
        a socket each. Addresses that this machine does not have are left out if there is another.

        Raises :exc:`OSError` with the address if it is in use, and :exc:`ValueError` for arguments that
        contradict each other.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_tls_timeouts(ssl is not None, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            check_not_tls(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        if ssl:
            protocol_factory = self._tls_factory(
                protocol_factory, ssl, ssl_handshake_timeout, ssl_shutdown_timeout
            )

        mine = sock is None
        if sock is None:
            options = []
            if reuse_address or reuse_address is None:
                options.append((socket.SOL_SOCKET, socket.SO_REUSEADDR))
            if keep_alive:
                options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            sockets = await self._bind_hosts(host, port, family, flags, options, reuse_port)
        else:
            sockets = [sock]
        server = await self._serve(sockets, protocol_factory, backlog, start_serving, mine)
        if self.get_debug():
            logger.info("%r is serving", server)
        return server

    async def create_unix_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: StrOrBytesPath | None = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: _TLS = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = sys.version_info >= (3, 13),
    ) -> Server:
        """Listen on the Unix socket at ``path``, or on the bound ``sock``, and return a server.

        A socket that an earlier server left at ``path`` is replaced. With ``cleanup_socket``, which is the
        default from Python 3.13 on, the path is removed when the server is closed, unless somebody
        else has put a file there meanwhile.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            check_unix_stream(sock)
        if ssl:
            protocol_factory = self._tls_factory(
                protocol_factory, ssl, ssl_handshake_timeout, ssl_shutdown_timeout
            )

        mine = sock is None
        if sock is None:
            sock = bind_unix(path)  # type: ignore[arg-type]
        try:
            if cleanup_socket:
                self._note_unix_path(sock)
        except BaseException:
            if mine:
                sock.close()
            raise
        return await self._serve([sock], protocol_factory, backlog, start_serving, mine)

    async def _serve(
        self,
        sockets: Sequence[socket.socket],
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        backlog: int,
        start_serving: bool,
        mine: bool,
    ) -> Server:
        """Make a server of bound sockets; ``mine`` says whether to close them if that fails."""
        try:
            for sock in sockets:
                sock.setblocking(False)
            server = Server(self, sockets, protocol_factory, backlog)
            if start_serving:
                server._start_serving()
        except BaseException:
            if mine:
                for sock in sockets:
                    self._stop_serving(sock)
            raise
        if start_serving:
            try:
                # Those who wait already get their turn before the server is handed out.
                await asyncio.sleep(0)
            except BaseException:
                server.close()
                raise
        return server

    async def _create_server_getaddrinfo(
        self, host: str | None, port: str | int | None, family: int, flags: int
    ) -> Sequence[AddressInfo]:
        infos = await self._ensure_resolved(
            (host, port), family=family, type=socket.SOCK_STREAM, flags=flags, loop=self
        )
        if not infos:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        return infos

    async def _bind_hosts(
        self,
        host: str | Sequence[str] | None,
        port: str | int | None,
        family: int,
        flags: int,
        options: Sequence[tuple[int, int]],
        reuse_port: bool | None,
    ) -> list[socket.socket]:
        """Return a bound socket for each address of ``host``."""
        if isinstance(host, str | bytes):
            hosts: Iterable[str | None] = [host or None]
        elif isinstance(host, collections.abc.Iterable):
            hosts = host
        else:
            hosts = [host]
        found = await asyncio.gather(
            *(self._create_server_getaddrinfo(name, port, family, flags) for name in hosts)
        )
        # Two names may mean the same address.
        infos = list(dict.fromkeys(info for infos in found for info in infos))
        return bind_all(infos, options, reuse_port, self.get_debug())

    # The paths of Unix servers

    @functools.cached_property
    def _unix_server_sockets(self) -> dict[socket.socket, tuple[str | bytes, int]]:
        """The sockets whose path goes with them: the path, and the inode that was there at first."""
        return {}

    def _note_unix_path(self, sock: socket.socket) -> None:
        path = sock.getsockname()
        if is_abstract(path):
            return
        try:
            self._unix_server_sockets[sock] = path, os.stat(path).st_ino
        except FileNotFoundError:
            # Somebody was faster, or it is relative to what was another directory then.
            return

    def _stop_serving(self, sock: socket.socket) -> None:
        path, inode = self._unix_server_sockets.pop(sock, (None, None))
        super()._stop_serving(sock)
        if path is None:
            return
        try:
            if os.stat(path).st_ino == inode:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as failure:
            logger.error("Unable to clean up listening UNIX socket %r: %r", path, failure)


# Checks


def check_unix_stream(sock: socket.socket) -> None:
    """Raise :exc:`ValueError` for what is not a Unix stream socket."""
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def combined(failures: list[OSError], as_group: bool) -> Exception:
    """The exception that stands for all the failed attempts to connect."""
    if not failures:
        return TimeoutError("create_connection failed")
    if as_group:
        return ExceptionGroup("create_connection failed", failures)
    texts = [str(failure) for failure in failures]
    if all(text == texts[0] for text in texts):
        return failures[0]
    return OSError(f"Multiple exceptions: {', '.join(texts)}")
