"""Pipes and subprocesses, as a type checker sees them."""

import asyncio
import io
from typing import assert_type

import boros
from boros._boros import ReadPipeTransport, WritePipeTransport
from boros._child import ChildTransport


class Reader(asyncio.Protocol):
    pass


class Child(asyncio.SubprocessProtocol):
    pass


async def pipes(loop: boros.EventLoop, file: io.FileIO) -> None:
    source, reader = await loop.connect_read_pipe(Reader, file)
    assert_type(source, ReadPipeTransport)
    assert_type(reader, Reader)
    source.write(b"")  # type: ignore[attr-defined]
    sink, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, file)
    assert_type(sink, WritePipeTransport)
    sink.write("text")  # type: ignore[arg-type]


async def programs(loop: boros.EventLoop) -> None:
    transport, child = await loop.subprocess_exec(Child, "program", b"argument", cwd="/")
    assert_type(transport, ChildTransport)
    assert_type(child, Child)
    assert_type(transport.get_returncode(), int | None)
    await loop.subprocess_exec(Child, "program", text=True)  # type: ignore[arg-type]
    await loop.subprocess_shell(Child, ["program"])  # type: ignore[arg-type]
    process = await asyncio.create_subprocess_shell("command")
    assert_type(await process.wait(), int)
