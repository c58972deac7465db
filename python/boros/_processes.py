"""Pipes and subprocesses: descriptors handed to transports, and programs started."""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.log import logger
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from boros._child import ChildTransport
from boros._part import Part

if TYPE_CHECKING:
    from boros._boros import ReadPipeTransport, WritePipeTransport

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)
#: What may become a standard stream of a child: a descriptor, a file, a constant of `subprocess`, or None.
_File: TypeAlias = int | IO[Any] | None


class Processes(Part):
    """The methods that make transports over pipes and start programs."""

    async def connect_read_pipe(
        self, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[ReadPipeTransport, _ProtocolT]:
        """Read ``pipe``, a file object of a pipe, a socket or a character device.

        It belongs to the transport from then on, and no longer blocks. Returns transport and protocol.
        Raises :exc:`ValueError` for any other kind of file, which stays the caller's.
        """
        protocol = protocol_factory()
        waiter = self.create_future()
        transport = self._make_read_pipe_transport(pipe, protocol, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        if self.get_debug():
            logger.debug("Read pipe %r connected: (%r, %r)", transport._fileno, transport, protocol)
        return transport, protocol

    async def connect_write_pipe(
        self, protocol_factory: Callable[[], _ProtocolT], pipe: Any
    ) -> tuple[WritePipeTransport, _ProtocolT]:
        """Write to ``pipe``, a file object of a pipe, a socket or a character device.

        It belongs to the transport from then on, and no longer blocks. Returns transport and protocol.
        Raises :exc:`ValueError` for any other kind of file, which stays the caller's.
        """
        protocol = protocol_factory()
        waiter = self.create_future()
        transport = self._make_write_pipe_transport(pipe, protocol, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        if self.get_debug():
            logger.debug(
                "Write pipe %r connected: (%r, %r)", transport._fileno, transport, protocol
            )
        return transport, protocol

    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        cmd: bytes | str,
        *,
        stdin: _File = subprocess.PIPE,
        stdout: _File = subprocess.PIPE,
        stderr: _File = subprocess.PIPE,
        universal_newlines: Literal[False] = False,
        shell: Literal[True] = True,
        bufsize: Literal[0] = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[ChildTransport, _ProtocolT]:
        """Run ``cmd`` in the shell; return transport and protocol.

        Other arguments are those of :class:`subprocess.Popen`. Raises :exc:`ValueError` for those that
        would make its streams text or buffered, and :exc:`OSError` for what the system refuses.
        """
        if not isinstance(cmd, bytes | str):
            raise ValueError("cmd must be a string")
        if not shell:
            raise ValueError("shell must be True")
        check_streams(universal_newlines, bufsize, encoding, errors, text)
        protocol = protocol_factory()
        # What a command is given may be secret or long: the log has the command alone.
        what = f"run shell command {cmd!r}"
        if self.get_debug():
            log_start(what, stdin, stdout, stderr)
        transport = await self._make_subprocess_transport(
            protocol, cmd, True, stdin, stdout, stderr, bufsize, **kwargs
        )
        if self.get_debug():
            logger.info("%s: %r", what, transport)
        return transport, protocol

    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        program: Any,
        *args: Any,
        stdin: _File = subprocess.PIPE,
        stdout: _File = subprocess.PIPE,
        stderr: _File = subprocess.PIPE,
        universal_newlines: Literal[False] = False,
        shell: Literal[False] = False,
        bufsize: Literal[0] = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[ChildTransport, _ProtocolT]:
        """Run ``program`` with the arguments ``args``; return transport and protocol.

        Other arguments are those of :class:`subprocess.Popen`. Raises :exc:`ValueError` for those that
        would make its streams text or buffered, and :exc:`OSError` for what the system refuses.
        """
        if shell:
            raise ValueError("shell must be False")
        check_streams(universal_newlines, bufsize, encoding, errors, text)
        protocol = protocol_factory()
        what = f"execute program {program!r}"
        if self.get_debug():
            log_start(what, stdin, stdout, stderr)
        transport = await self._make_subprocess_transport(
            protocol, (program, *args), False, stdin, stdout, stderr, bufsize, **kwargs
        )
        if self.get_debug():
            logger.info("%s: %r", what, transport)
        return transport, protocol

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.BaseProtocol,
        args: Any,
        shell: bool,
        stdin: _File,
        stdout: _File,
        stderr: _File,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChildTransport:
        """Start a program; the transport's pipes are connected when this returns."""
        waiter = self.create_future()
        transport = ChildTransport(
            self,
            cast("asyncio.SubprocessProtocol", protocol),
            args,
            shell,
            stdin,
            stdout,
            stderr,
            bufsize,
            waiter=waiter,
            extra=extra,
            **kwargs,
        )
        try:
            transport._watch_exit()
        except BaseException:
            # Not even a thread can be had.
            transport.close()
            raise
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport


# Checks


def check_streams(
    universal_newlines: object, bufsize: object, encoding: object, errors: object, text: object
) -> None:
    """Raise :exc:`ValueError` unless the streams are unbuffered ones of bytes."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


# Logging


def log_start(what: str, stdin: _File, stdout: _File, stderr: _File) -> None:
    """Log what is about to be run, and with which streams."""
    text = [what]
    if stdin is not None:
        text.append(f"stdin={stream_name(stdin)}")
    if stdout is not None and stderr == subprocess.STDOUT:
        text.append(f"stdout=stderr={stream_name(stdout)}")
    else:
        if stdout is not None:
            text.append(f"stdout={stream_name(stdout)}")
        if stderr is not None:
            text.append(f"stderr={stream_name(stderr)}")
    logger.debug(" ".join(text))


def stream_name(stream: _File) -> str:
    """What a stream is called in the log."""
    if stream == subprocess.PIPE:
        return "<pipe>"
    if stream == subprocess.STDOUT:
        return "<stdout>"
    return repr(stream)
