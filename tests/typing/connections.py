"""Connections: asyncio's protocols in, its transports out."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from typing import assert_type

import boros


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class NoProtocol:
    pass


async def connect(loop: boros.EventLoop, sock: socket.socket) -> None:
    transport, protocol = await loop.create_connection(Echo, "localhost", 80)
    assert_type(transport, asyncio.Transport)
    assert_type(protocol, Echo)
    assert_type((await loop.create_unix_connection(Echo, "/tmp/echo"))[1], Echo)
    assert_type((await loop.connect_accepted_socket(Echo, sock))[1], Echo)
    await loop.create_connection(
        Echo, "localhost", 80, happy_eyeballs_delay=0.25, interleave=1, all_errors=True
    )
    await loop.create_connection(NoProtocol, "localhost", 80)  # type: ignore[type-var]
    await loop.create_connection(Echo(), "localhost", 80)  # type: ignore[arg-type]
    await loop.create_connection(Echo, "localhost", port=[80])  # type: ignore[arg-type]
    await loop.create_connection(Echo, timeout=3)  # type: ignore[call-arg]
    await loop.create_unix_connection(Echo, 3)  # type: ignore[arg-type]
    transport.write("text")  # type: ignore[arg-type]


async def serve(loop: boros.EventLoop, path: pathlib.Path) -> None:
    server = await loop.create_server(Echo, ["127.0.0.1", "::1"], 0, reuse_port=True)
    as_asyncio: asyncio.AbstractServer = server
    async with server:
        await server.start_serving()
        print([sock.getsockname() for sock in server.sockets])
    async with await loop.create_unix_server(Echo, path, cleanup_socket=False) as unix:
        assert_type(unix.is_serving(), bool)
    assert_type(as_asyncio.get_loop(), asyncio.AbstractEventLoop)
    await loop.create_server(NoProtocol, port=0)  # type: ignore[arg-type]
    await loop.create_server(Echo, port=0, backlog="many")  # type: ignore[arg-type]
    await loop.create_unix_server(Echo, 3)  # type: ignore[arg-type]


async def own_sockets(loop: boros.EventLoop, sock: socket.socket) -> None:
    assert_type(await loop.sock_recv(sock, 1024), bytes)
    assert_type(await loop.sock_recv_into(sock, bytearray(10)), int)
    accepted, _address = await loop.sock_accept(sock)
    assert_type(accepted, socket.socket)
    assert_type(await loop.sock_sendto(sock, b"data", ("localhost", 80)), int)
    await loop.sock_connect(sock, ("localhost", 80))
    await loop.sock_sendall(sock, memoryview(b"data"))
    await loop.sock_recv_into(sock, "text")  # type: ignore[arg-type]
    await loop.sock_sendall(sock, "text")  # type: ignore[arg-type]
    await loop.sock_recv(3, 1024)  # type: ignore[arg-type]


async def names(loop: boros.EventLoop) -> None:
    for _family, _type, proto, _name, _address in await loop.getaddrinfo("localhost", 80):
        assert_type(proto, int)
    assert_type(await loop.getnameinfo(("127.0.0.1", 80)), tuple[str, str])
    await loop.getaddrinfo(80, "localhost")  # type: ignore[arg-type]


async def streams() -> None:
    reader, writer = await asyncio.open_connection("localhost", 80)
    writer.write(await reader.readline())
