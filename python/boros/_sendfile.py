"""Files sent by the kernel, without a copy in the program where that is possible."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import stat
from asyncio import constants
from collections.abc import Awaitable, Callable
from typing import IO, Any

from boros._boros import StreamTransport
from boros._part import Part

#: As much as one system call is asked to send.
_LARGEST_PIECE = 1 << 30


class Sendfile(Part):
    """``sendfile`` and ``sock_sendfile``.

    Both send ``file``, which is open in binary mode, from the byte ``offset`` on: ``count`` bytes, or all
    there are. They return how many were sent, and leave the file's position behind the last of them,
    also when they raise.

    What the system cannot send (a file that is in memory, a transport that encrypts) is read and
    written in pieces; without ``fallback`` that raises :exc:`asyncio.SendfileNotAvailableError` or, for
    transports that never can, :exc:`RuntimeError`. Raises :exc:`ValueError` and :exc:`TypeError` for
    arguments that make no sense, :exc:`ConnectionError` if the connection is lost meanwhile.
    """

    async def sock_sendfile(
        self,
        sock: socket.socket,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int:
        """Send ``file`` through the connected stream socket ``sock``."""
        self._check_socket(sock)
        if sock.type != socket.SOCK_STREAM:
            raise ValueError("only SOCK_STREAM type sockets are supported")
        check_file_and_range(file, offset, count)
        try:
            return await self._sock_sendfile_native(sock, file, offset, count)
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
        return await self._sock_sendfile_fallback(sock, file, offset, count)

    async def _sock_sendfile_native(
        self, sock: socket.socket, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        writable = functools.partial(self._writable, sock)
        return await send_natively(sock.fileno, writable, file, offset, count)

    async def _sock_sendfile_fallback(
        self, sock: socket.socket, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        write = functools.partial(self.sock_sendall, sock)
        return await self._send_in_pieces(write, file, offset, count)

    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send ``file`` through ``transport``, after what was written before.

        Until it is sent nothing is read, and writing raises :exc:`RuntimeError`. Raises
        :exc:`RuntimeError` if the transport is closing.
        """
        if transport.is_closing():
            raise RuntimeError("Transport is closing")
        unsupported = constants._SendfileMode.UNSUPPORTED
        mode = getattr(transport, "_sendfile_compatible", unsupported)
        if mode is unsupported:
            raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
        if mode is constants._SendfileMode.TRY_NATIVE:
            try:
                return await self._sendfile_native(transport, file, offset, count)
            except asyncio.SendfileNotAvailableError:
                if not fallback:
                    raise
        if not fallback:
            raise RuntimeError(
                "fallback is disabled and native sendfile is not supported "
                f"for transport {transport!r}"
            )
        return await self._sendfile_fallback(transport, file, offset, count)

    async def _sendfile_native(
        self, transport: Any, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        check_file_and_range(file, offset, count)
        if type(transport) is not StreamTransport:
            raise asyncio.SendfileNotAvailableError("sendfile syscall is not supported")
        reads = transport.is_reading()
        drained = transport._begin_sendfile()
        try:
            transport.pause_reading()
            await drained
            return await send_natively(
                transport._sendfile_fd, transport._wait_writable, file, offset, count
            )
        except ConnectionError as failure:
            # As a write that fails does; it has no effect on what is lost already.
            transport._fatal_error(failure, "Fatal write error on socket transport")
            raise
        finally:
            transport._end_sendfile()
            if reads:
                transport.resume_reading()

    async def _sendfile_fallback(
        self, transport: Any, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        check_file_and_range(file, offset, count)
        writer = Writer(self, transport)
        try:
            return await self._send_in_pieces(writer.write, file, offset, count)
        finally:
            writer.restore()

    async def _send_in_pieces(
        self,
        write: Callable[[memoryview], Awaitable[None]],
        file: IO[bytes],
        offset: int,
        count: int | None,
    ) -> int:
        """Read in the executor, for a file may be slow, and hand what was read to ``write``."""
        set_position(file, offset)
        size = constants.SENDFILE_FALLBACK_READBUFFER_SIZE
        buffer = memoryview(bytearray(size if count is None else min(count, size)))
        sent = 0
        try:
            while count is None or sent < count:
                piece = buffer if count is None else buffer[: count - sent]
                read = await self.run_in_executor(None, file.readinto, piece)  # type: ignore[attr-defined]
                if not read:
                    break
                await write(piece[:read])
                sent += read
            return sent
        finally:
            if sent:
                set_position(file, offset + sent)


async def send_natively(
    descriptor: Callable[[], int],
    writable: Callable[[], Awaitable[None]],
    file: IO[bytes],
    offset: int,
    count: int | None,
) -> int:
    """Have the kernel send ``file`` to ``descriptor()``, which is asked for before each piece.

    Raises :exc:`asyncio.SendfileNotAvailableError`, and has sent nothing then, if it cannot.
    """
    source = file_number(file)
    start = offset
    end = None if count is None else offset + count
    try:
        while end is None or offset < end:
            target = descriptor()
            size = _LARGEST_PIECE if end is None else min(end - offset, _LARGEST_PIECE)
            try:
                sent = os.sendfile(target, source, offset, size)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as failure:
                if offset == start:
                    # Perhaps a kind of file that it does not know. If not, writing fails likewise.
                    raise asyncio.SendfileNotAvailableError("os.sendfile call failed") from failure
                raise
            else:
                if not sent:
                    break
                offset += sent
                if offset == end:
                    break
            # Also when something was sent: others are to have their turn.
            await writable()
        return offset - start
    finally:
        if offset > start:
            set_position(file, offset)


def file_number(file: IO[bytes]) -> int:
    """The descriptor of a regular file."""
    try:
        number = file.fileno()
        regular = stat.S_ISREG(os.fstat(number).st_mode)
    except (AttributeError, OSError) as failure:
        raise asyncio.SendfileNotAvailableError("not a regular file") from failure
    if not regular:
        raise asyncio.SendfileNotAvailableError("not a regular file")
    return number


def set_position(file: IO[bytes], position: int) -> None:
    """Have ``file`` go on at ``position``, if it has positions."""
    if not hasattr(file, "seek"):
        return
    if not hasattr(file, "seekable") or file.seekable():
        file.seek(position)


def check_file_and_range(file: IO[bytes], offset: int, count: int | None) -> None:
    """Raise :exc:`ValueError` or :exc:`TypeError` for a text file or a range that makes no sense."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        message = f"count must be a positive integer (got {count!r})"
        if not isinstance(count, int):
            raise TypeError(message)
        if count <= 0:
            raise ValueError(message)
    message = f"offset must be a non-negative integer (got {offset!r})"
    if not isinstance(offset, int):
        raise TypeError(message)
    if offset < 0:
        raise ValueError(message)


class Writer(asyncio.Protocol):
    """Takes the place of a transport's protocol while a file is sent through it in pieces."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._protocol: Any = transport.get_protocol()
        self._reads = transport.is_reading()
        #: Whether the protocol was told to pause, and what the transport says now.
        self._told_paused = self._paused = transport._protocol_paused
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        transport.pause_reading()
        transport.set_protocol(self)

    async def write(self, data: memoryview) -> None:
        """Write ``data`` when the transport takes it."""
        if self._paused and not self._lost:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._lost or self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        # A copy: the buffer serves the next piece.
        self._transport.write(bytes(data))

    def pause_writing(self) -> None:
        """Wait before the next piece."""
        self._paused = True

    def resume_writing(self) -> None:
        """Wait no longer."""
        self._paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on, and fail."""
        self._lost = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("Connection is closed by peer"))
        self._protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Pass it on: a transport may have read it before it was paused."""
        return self._protocol.eof_received()  # type: ignore[no-any-return]

    def restore(self) -> None:
        """Give the transport its protocol back, and tell that what it has missed."""
        if self._lost:
            return
        self._transport.set_protocol(self._protocol)
        if self._reads:
            self._transport.resume_reading()
        if self._paused and not self._told_paused:
            self._protocol.pause_writing()
        elif self._told_paused and not self._paused:
            self._protocol.resume_writing()
