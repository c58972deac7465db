"""Datagram endpoints: asyncio's protocols in, its transports out."""

from __future__ import annotations

import asyncio
import socket
from typing import assert_type

import boros


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def endpoints(loop: boros.EventLoop, sock: socket.socket) -> None:
    transport, protocol = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    assert_type(transport, asyncio.DatagramTransport)
    assert_type(protocol, Echo)
    transport.sendto(bytearray(b"data"))
    transport.sendto("text")  # type: ignore[arg-type]
    await loop.create_datagram_endpoint(
        Echo, remote_addr=("localhost", 53), reuse_port=True, allow_broadcast=True
    )
    await loop.create_datagram_endpoint(Echo, "/tmp/path", family=socket.AF_UNIX)
    await loop.create_datagram_endpoint(Echo, sock=sock)
    await loop.create_datagram_endpoint(Echo, reuse_address=True)  # type: ignore[call-arg]
    await loop.create_datagram_endpoint(Echo, local_addr=53)  # type: ignore[arg-type]
