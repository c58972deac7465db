"""An echo server in its own process: `servers.py LOOP KIND [PATH]`; prints where it listens."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import loops

READ = 64 * 1024


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def eof_received(self) -> None:
        self.transport.close()


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = bytearray(256 * 1024)
        self.view = memoryview(self.buffer)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        # The transport may keep what it is given, and the buffer is about to be filled again.
        self.transport.write(bytes(self.view[:nbytes]))

    def eof_received(self) -> None:
        self.transport.close()


def port_of(listener: Any) -> int:
    """The port of a listening socket, or of the loop's stand-in for one."""
    return int(listener.getsockname()[1])


async def protocol() -> int:
    """asyncio.Protocol."""
    return await listen(Echo)


async def buffered() -> int:
    """asyncio.BufferedProtocol."""
    return await listen(BufferedEcho)


async def listen(protocol: type[asyncio.BaseProtocol]) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=4096)
    KEPT.add(server)
    return port_of(server.sockets[0])


async def unix(path: str) -> str:
    """asyncio.Protocol over a Unix socket."""
    KEPT.add(await asyncio.get_running_loop().create_unix_server(Echo, path, backlog=4096))
    return path


async def streams() -> int:
    """asyncio's streams."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=4096)
    KEPT.add(server)
    return port_of(server.sockets[0])


async def sock() -> int:
    """The loop's sock_accept, sock_recv and sock_sendall."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)

    async def echo(peer: socket.socket) -> None:
        with peer:
            while data := await loop.sock_recv(peer, READ):
                await loop.sock_sendall(peer, data)

    async def accept() -> None:
        while True:
            peer, _ = await loop.sock_accept(listener)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(echo(peer))
            KEPT.add(task)
            task.add_done_callback(KEPT.discard)

    KEPT.add(asyncio.create_task(accept()))
    return port_of(listener)


KINDS: dict[str, Callable[..., Awaitable[int | str]]] = {
    "protocol": protocol,
    "buffered": buffered,
    "streams": streams,
    "sock": sock,
    "unix": unix,
}

# Servers and tasks that must not be collected while they serve.
KEPT: set[object] = set()


async def serve(kind: str, arguments: list[str]) -> None:
    print(await KINDS[kind](*arguments), flush=True)
    await asyncio.get_running_loop().create_future()


def main() -> None:
    name, kind, *arguments = sys.argv[1:]
    try:
        make_loop = loops.factory(name)
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(serve(kind, arguments))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        # One line for the one who started this process and waits for the port.
        print(f"! {type(error).__name__}: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
