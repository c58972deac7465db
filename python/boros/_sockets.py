"""Operations on the program's own sockets, and waiting for its descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

from boros._part import Part

try:
    import ssl
except ImportError:  # An interpreter that was built without OpenSSL.
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import _Address, _RetAddress
    from typing import TypeVarTuple

    from _typeshed import FileDescriptorLike, ReadableBuffer, WriteableBuffer

    _Ts = TypeVarTuple("_Ts")


#: Seconds between two attempts to connect to a Unix socket whose backlog is full.
_SHORTEST_RETRY, _LONGEST_RETRY = 0.001, 0.05


class Sockets(Part):
    """The ``sock_*`` methods of a loop.

    Each tries first, and waits only if the kernel says that it would block. What wakes it is that the
    socket is ready; the operation itself happens in the task that asked for it, so that cancelling
    that task never loses data or a connection that was received already.

    All raise :exc:`TypeError` for TLS sockets, and in debug mode :exc:`ValueError` for blocking ones.
    """

    # Descriptors

    def add_reader(
        self, fd: FileDescriptorLike, callback: Callable[[*_Ts], Any], *args: *_Ts
    ) -> None:
        """Have ``callback(*args)`` called whenever ``fd`` can be read.

        Raises :exc:`RuntimeError` if a transport of this loop uses ``fd``.
        """
        self._ensure_fd_no_transport(fd)
        self._add_reader(fd, callback, *args)

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        """Stop waiting to read ``fd``, and answer whether somebody waited."""
        self._ensure_fd_no_transport(fd)
        return self._remove_reader(fd)

    def add_writer(
        self, fd: FileDescriptorLike, callback: Callable[[*_Ts], Any], *args: *_Ts
    ) -> None:
        """Have ``callback(*args)`` called whenever ``fd`` can be written.

        Raises :exc:`RuntimeError` if a transport of this loop uses ``fd``.
        """
        self._ensure_fd_no_transport(fd)
        self._add_writer(fd, callback, *args)

    def remove_writer(self, fd: FileDescriptorLike) -> bool:
        """Stop waiting to write ``fd``, and answer whether somebody waited."""
        self._ensure_fd_no_transport(fd)
        return self._remove_writer(fd)

    async def _readable(self, sock: socket.socket) -> None:
        """Wait until ``sock`` can be read."""
        fd = sock.fileno()
        self._ensure_fd_no_transport(fd)
        ready = self.create_future()
        handle = self._add_reader(fd, set_ready, ready)
        try:
            await ready
        finally:
            # A cancelled handle means that somebody else waits now, perhaps for another file.
            if not handle.cancelled():
                self._remove_reader(fd)

    async def _writable(self, sock: socket.socket) -> None:
        """Wait until ``sock`` can be written."""
        fd = sock.fileno()
        self._ensure_fd_no_transport(fd)
        ready = self.create_future()
        handle = self._add_writer(fd, set_ready, ready)
        try:
            await ready
        finally:
            if not handle.cancelled():
                self._remove_writer(fd)

    def _check_socket(self, sock: socket.socket) -> None:
        check_not_tls(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    # Receiving

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive at most ``n`` bytes; none at the end of the stream."""
        self._check_socket(sock)
        while True:
            try:
                return sock.recv(n)
            except (BlockingIOError, InterruptedError):
                pass
            await self._readable(sock)

    async def sock_recv_into(self, sock: socket.socket, buf: WriteableBuffer) -> int:
        """Receive into the writable buffer ``buf``, and return the number of bytes."""
        self._check_socket(sock)
        while True:
            try:
                return sock.recv_into(buf)
            except (BlockingIOError, InterruptedError):
                pass
            await self._readable(sock)

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, _RetAddress]:
        """Receive a datagram of at most ``bufsize`` bytes; return it and where it came from."""
        self._check_socket(sock)
        while True:
            try:
                return sock.recvfrom(bufsize)
            except (BlockingIOError, InterruptedError):
                pass
            await self._readable(sock)

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: WriteableBuffer, nbytes: int = 0
    ) -> tuple[int, _RetAddress]:
        """Receive a datagram of at most ``nbytes`` bytes into the writable buffer ``buf``.

        Returns the number of bytes and where they came from. Without ``nbytes``, the size of the
        buffer is the limit.
        """
        self._check_socket(sock)
        nbytes = nbytes or len(buf)  # type: ignore[arg-type]
        while True:
            try:
                return sock.recvfrom_into(buf, nbytes)
            except (BlockingIOError, InterruptedError):
                pass
            await self._readable(sock)

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, _RetAddress]:
        """Accept a connection on a listening socket; return its socket and the peer's address."""
        self._check_socket(sock)
        while True:
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError):
                pass
            else:
                connection.setblocking(False)
                return connection, address
            await self._readable(sock)

    # Sending

    async def sock_sendall(self, sock: socket.socket, data: ReadableBuffer) -> None:
        """Send all of ``data``. After an error nobody knows how much of it was sent."""
        self._check_socket(sock)
        try:
            sent = sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        with memoryview(data) as view:
            total = view.nbytes
            if sent == total:
                return
            with view.cast("B") as octets:
                while sent < total:
                    await self._writable(sock)
                    try:
                        sent += sock.send(octets[sent:])
                    except (BlockingIOError, InterruptedError):
                        continue

    async def sock_sendto(
        self, sock: socket.socket, data: ReadableBuffer, address: _Address
    ) -> int:
        """Send the datagram ``data`` to ``address``, and return the number of bytes sent."""
        self._check_socket(sock)
        while True:
            try:
                return sock.sendto(data, address)
            except (BlockingIOError, InterruptedError):
                pass
            await self._writable(sock)

    # Connecting

    async def sock_connect(self, sock: socket.socket, address: _Address) -> None:
        """Connect ``sock`` to ``address``. A host name is looked up first.

        The error of a connection that failed names the address.
        """
        self._check_socket(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            resolved = await self._ensure_resolved(
                address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
            )
            address = resolved[0][4]
        pause = _SHORTEST_RETRY
        while True:
            try:
                sock.connect(address)
            except (BlockingIOError, InterruptedError) as waiting:
                in_progress = waiting.errno != errno.EAGAIN
            else:
                return
            if in_progress:
                break
            # The backlog of a Unix socket is full. The kernel keeps no trace of the attempt, and the
            # socket counts as writable: there is nothing to wait for but time.
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)
        await self._writable(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"Connect call failed {address}")


def set_ready(future: asyncio.Future[None]) -> None:
    """Wake who waits for ``future``, unless it is awake already or has gone."""
    if not future.done():
        future.set_result(None)


def check_not_tls(sock: socket.socket) -> None:
    """Raise :exc:`TypeError` for a socket that does TLS by itself, which cannot be waited for."""
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")
