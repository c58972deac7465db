"""Datagram endpoints: sockets made, bound and connected, and handed to transports."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.log import logger
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from boros._binding import (
    describe_bind_failure,
    is_abstract,
    name_path,
    remove_stale_socket,
    set_reuse_port,
    socket_module,
)
from boros._part import Part

if TYPE_CHECKING:
    #: A host and a port, or the name of a Unix socket.
    _Address: TypeAlias = tuple[str, int] | str

    #: Address family, protocol, and the own and the peer's address to try with them.
    _Candidate: TypeAlias = tuple[int, int, Any, Any]

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)

_EXPECTED = "A datagram socket" if sys.version_info >= (3, 13) else "A UDP Socket"


class Datagrams(Part):
    """The method that makes datagram endpoints."""

    # The interpreter has no `reuse_address` since 3.11, whatever its stubs say.
    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], _ProtocolT],
        local_addr: _Address | None = None,
        remote_addr: _Address | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _ProtocolT]:
        """Make a socket that sends and receives datagrams, or take ``sock``; return transport and protocol.

        ``local_addr`` is where to receive and ``remote_addr`` the only place to send to: a host and a port
        each, or with ``family=AF_UNIX`` the name of a socket. A socket that was left at a local path is
        replaced. With ``allow_broadcast`` the socket is not connected, so that it takes answers from
        everybody.

        Raises :exc:`OSError` for what the network refuses, :exc:`ValueError` for arguments that
        contradict each other and :exc:`TypeError` for addresses of the wrong form.
        """
        mine = sock is None
        only_address = None
        if sock is not None:
            check_socket(
                sock,
                local_addr=local_addr,
                remote_addr=remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
            )
            sock.setblocking(False)
        else:
            candidates = await self._datagram_candidates(
                local_addr, remote_addr, family, proto, flags
            )
            sock, only_address = await self._open_datagram_socket(
                candidates, bool(local_addr), bool(remote_addr), reuse_port, allow_broadcast
            )
        try:
            protocol = protocol_factory()
            self._ensure_fd_no_transport(sock)
            waiter = self.create_future()
            transport = self._make_datagram_transport(sock, protocol, only_address, waiter)
        except BaseException:
            if mine:
                sock.close()
            raise
        if self.get_debug():
            if local_addr:
                logger.info(
                    "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
                    local_addr,
                    remote_addr,
                    transport,
                    protocol,
                )
            else:
                logger.debug(
                    "Datagram endpoint remote_addr=%r created: (%r, %r)",
                    remote_addr,
                    transport,
                    protocol,
                )
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _datagram_candidates(
        self,
        local_addr: _Address | None,
        remote_addr: _Address | None,
        family: int,
        proto: int,
        flags: int,
    ) -> Sequence[_Candidate]:
        """Return what to try in turn; never nothing."""
        if not (local_addr or remote_addr):
            if family == 0:
                raise ValueError("unexpected address family")
            return [(family, proto, None, None)]
        if family == socket.AF_UNIX:
            for path in (local_addr, remote_addr):
                if path is not None and not isinstance(path, str):
                    raise TypeError("string is expected")
            if isinstance(local_addr, str) and not is_abstract(local_addr):
                remove_stale_socket(local_addr)
            return [(family, proto, local_addr, remote_addr)]

        addresses: dict[tuple[int, int], list[Any]] = {}
        for index, address in enumerate((local_addr, remote_addr)):
            if address is None:
                continue
            if not (isinstance(address, tuple) and len(address) == 2):
                raise TypeError("2-tuple is expected")
            infos = await self._ensure_resolved(
                address,
                family=family,
                type=socket.SOCK_DGRAM,
                proto=proto,
                flags=flags,
                loop=self,
            )
            if not infos:
                raise OSError("getaddrinfo() returned empty list")
            for found, _, protocol, _, resolved in infos:
                addresses.setdefault((found, protocol), [None, None])[index] = resolved
        candidates = [
            (*key, local, remote)
            for key, (local, remote) in addresses.items()
            if not ((local_addr and local is None) or (remote_addr and remote is None))
        ]
        if not candidates:
            raise ValueError("can not get address information")
        return candidates

    async def _open_datagram_socket(
        self,
        candidates: Sequence[_Candidate],
        bind: bool,
        connect: bool,
        reuse_port: bool | None,
        allow_broadcast: bool | None,
    ) -> tuple[socket.socket, Any]:
        """Return a socket for the first candidate that works, and the only address it is to send to.

        Raises the first of the errors if none works.
        """
        failures: list[OSError] = []
        try:
            for family, proto, local, remote in candidates:
                sock: socket.socket | None = None
                try:
                    sock = socket_module().socket(
                        family=family, type=socket.SOCK_DGRAM, proto=proto
                    )
                    if reuse_port:
                        set_reuse_port(sock)
                    if allow_broadcast:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    sock.setblocking(False)
                    if bind:
                        bind_datagram(sock, local)
                    if connect and not allow_broadcast:
                        await self._connect_datagram(sock, remote)
                    return sock, remote if connect else None
                except BaseException as failure:
                    if sock is not None:
                        sock.close()
                    if not isinstance(failure, OSError):
                        raise
                    failures.append(failure)
            raise failures[0]
        finally:
            # Exceptions refer to this frame.
            failures = None  # type: ignore[assignment]

    async def _connect_datagram(self, sock: socket.socket, address: Any) -> None:
        try:
            await self.sock_connect(sock, address)
        except OSError as failure:
            if isinstance(address, str):
                name_path(failure, address)
            raise


def check_socket(sock: socket.socket, **options: Any) -> None:
    """Raise :exc:`ValueError` for a socket of the wrong kind, and for options beside it."""
    # Raw sockets too: their packets are datagrams.
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"{_EXPECTED} was expected, got {sock!r}")
    given = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    if given:
        raise ValueError(
            f"socket modifier keyword arguments can not be used when sock is specified. ({given})"
        )


def bind_datagram(sock: socket.socket, address: Any) -> None:
    """Bind ``sock``; the system's error names the address."""
    try:
        sock.bind(address)
    except OSError as failure:
        if isinstance(address, str):
            name_path(failure, address)
            raise
        if failure.errno is None:
            raise
        raise describe_bind_failure(address, failure) from None
