"""Sockets bound to addresses, and errors that say which address it was."""

from __future__ import annotations

import errno
import os
import socket
import stat
from asyncio import base_events
from asyncio.log import logger
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from boros._part import AddressInfo

#: The name of a Unix socket.
_Path: TypeAlias = str | bytes

#: What would be no different with another address.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def socket_module() -> Any:
    """Return the module that asyncio makes its sockets with: programs and tests replace it there."""
    return base_events.socket  # type: ignore[attr-defined]


def bind_all(
    infos: Sequence[AddressInfo],
    options: Iterable[tuple[int, int]],
    reuse_port: bool | None,
    debug: bool,
) -> list[socket.socket]:
    """Return a bound socket for each of ``infos``, which are as ``getaddrinfo`` returns them.

    ``options`` are pairs of a level and a boolean socket option to turn on. Addresses that this machine
    does not have are left out. Raises :exc:`OSError` if one is in use or none is left; no socket stays
    open then.
    """
    sockets: list[socket.socket] = []
    unavailable = None
    try:
        for family, type_, proto, _, address in infos:
            try:
                sock = socket_module().socket(family, type_, proto)
            except OSError as failure:
                if failure.errno in _EXHAUSTED:
                    raise
                # getaddrinfo may name families that this kernel does not know.
                if debug:
                    logger.warning(
                        "create_server() failed to create socket.socket(%r, %r, %r)",
                        family,
                        type_,
                        proto,
                        exc_info=True,
                    )
                continue
            sockets.append(sock)
            for level, option in options:
                sock.setsockopt(level, option, True)
            if reuse_port:
                set_reuse_port(sock)
            if family == socket.AF_INET6:
                # Else it would take the port of the IPv4 socket too.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            try:
                sock.bind(address)
            except OSError as failure:
                if failure.errno != errno.EADDRNOTAVAIL:
                    raise describe_bind_failure(address, failure) from None
                unavailable = failure.errno
                sockets.pop().close()
                if debug:
                    logger.warning(describe_bind_failure(address, failure).strerror)
        if not sockets:
            message = f"could not bind on any address out of {[info[4] for info in infos]!r}"
            raise OSError(unavailable, message) if unavailable else OSError(message)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_local(sock: socket.socket, infos: Iterable[AddressInfo], failures: list[OSError]) -> None:
    """Bind ``sock`` to the first of the local addresses that it can have.

    What goes wrong is added to ``failures``. Raises the last of them if there is no other address.
    """
    try:
        for family, _, _, _, address in infos:
            if family != sock.family:
                continue
            try:
                sock.bind(address)
            except OSError as failure:
                failures.append(describe_bind_failure(address, failure))
            else:
                return
        if failures:
            raise failures.pop()
        raise OSError(f"no matching local address with family={sock.family!r} found")
    finally:
        # The caller adds what is raised to the list, and what is raised refers to this frame.
        failures = None  # type: ignore[assignment]


def describe_bind_failure(address: Any, failure: OSError) -> OSError:
    """The failure to bind, with the address in its message."""
    return OSError(
        failure.errno,
        f"error while attempting to bind on address {address!r}: {str(failure).lower()}",
    )


def set_reuse_port(sock: socket.socket) -> None:
    """Let several sockets bind the same port. Raises :exc:`ValueError` where there is no such thing."""
    option = getattr(socket_module(), "SO_REUSEPORT", None)
    if option is None:
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, True)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def is_abstract(path: _Path) -> bool:
    """Whether the name of a Unix socket, a str or bytes, is none in the file system."""
    return path[:1] in (("", "\0") if isinstance(path, str) else (b"", b"\0"))


def bind_unix(path: _Path) -> socket.socket:
    """Return a socket bound to ``path``, in place of one that an earlier server has left there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not is_abstract(path):
            remove_stale_socket(path)
        sock.bind(path)
    except OSError as failure:
        sock.close()
        if failure.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        name_path(failure, path)
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def remove_stale_socket(path: _Path) -> None:
    """Remove a socket, but no other file, at ``path``."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        return
    except OSError as failure:
        # A directory may let us make a socket, but not look.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, failure)


def name_path(failure: BaseException, path: _Path) -> None:
    """Have the message of a system's error end in ``path``."""
    if isinstance(failure, OSError) and failure.errno is not None and failure.filename is None:
        failure.filename = path
