"""Connected sockets, their transports and servers, made the same way on both loops."""

from __future__ import annotations

import asyncio
import socket
from asyncio import base_events

import boros
from boros._server import Server

LOCAL = "127.0.0.1"


class Recorder(asyncio.Protocol):
    """Keeps what it is told, in order, and the data apart."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.calls = []
        self.data = bytearray()
        self.transport = None
        self.lost = loop.create_future()
        self.eof = loop.create_future()
        self.arrived = asyncio.Event()
        self.paused = asyncio.Event()
        self.resumed = asyncio.Event()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        if self.calls[-1:] != ["data"]:
            self.calls.append("data")
        self.data += data
        self.arrived.set()

    def eof_received(self):
        self.calls.append("eof")
        if not self.eof.done():
            self.eof.set_result(None)

    def pause_writing(self):
        self.calls.append("pause")
        self.paused.set()

    def resume_writing(self):
        self.calls.append("resume")
        self.resumed.set()

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)

    async def has(self, size):
        """Wait until at least ``size`` bytes have come."""
        while len(self.data) < size:
            self.arrived.clear()
            await self.arrived.wait()


#: Small, so that a few hundred kilobytes fill them.
KERNEL_BUFFER = 64 * 1024


def tcp_pair():
    """Two connected TCP sockets."""
    with socket.create_server((LOCAL, 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    return left, right


def unix_pair():
    """Two connected Unix sockets."""
    return socket.socketpair()


async def attach(sock, protocol):
    """The transport of a protocol over a connected socket."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    waiter = loop.create_future()
    transport = loop._make_socket_transport(sock, protocol, waiter)
    await waiter
    return transport


def make_server(factory, *sockets, backlog=100):
    """A server over bound sockets, which does not listen yet."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, boros.EventLoop):
        return Server(loop, list(sockets), factory, backlog)
    return base_events.Server(loop, list(sockets), factory, None, backlog, None, None)


def bound():
    """A socket to listen with, and its address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOCAL, 0))
    return sock, sock.getsockname()
