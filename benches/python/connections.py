"""Network operations inside one process: names, connections and asyncio's streams."""

import asyncio
import socket

from registry import WALL, WALL_US, Stopwatch, case, expect


@case("connections/getaddrinfo", 'getaddrinfo("localhost")', 2_000, (WALL_US,))
async def getaddrinfo(count: int, watch: Stopwatch) -> None:
    """A name that the hosts file answers."""
    loop = asyncio.get_running_loop()
    found = []
    with watch:
        for _ in range(count):
            found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    wanted = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    expect({entry[4] for entry in found}, {entry[4] for entry in wanted}, "addresses")


@case("connections/open-close", "open_connection + close", 2_000, (WALL_US,))
async def open_close(count: int, watch: Stopwatch) -> None:
    """A connection by number to a server on the same loop, closed by the client at once."""
    # rloop keeps some of the last sockets open after their writer was closed.
    wanted = count * 95 // 100
    lost = 0
    gone = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal lost
            lost += 1
            if lost >= wanted:
                gone.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    with watch:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
    try:
        async with asyncio.timeout(10.0):
            await gone.wait()
    except TimeoutError:
        expect(lost, count, "closed connections of which the server heard")
    server.close()


@case("connections/streams-ping-pong", "streams ping-pong", 5_000, (WALL_US,))
async def streams_ping_pong(count: int, watch: Stopwatch) -> None:
    """A line there and back between two pairs of streams on one loop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [b"%063d\n" % number for number in range(count)]
    answers = []
    with watch:
        for line in lines:
            writer.write(line)
            await writer.drain()
            answers.append(await reader.readline())
    expect(answers, lines, "lines that came back")
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@case("connections/readline", "readline, 64-byte lines in 64 KiB bursts", 102_400, (WALL,))
async def readline(count: int, watch: Stopwatch) -> None:
    """Per line; the burst is sent before it is read, without another thread or process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    near.setblocking(False)
    lines = [b"%063d\n" % number for number in range(1024)]
    burst = b"".join(lines)
    reader, writer = await asyncio.open_connection(sock=near)
    wrong = 0
    with watch:
        for _ in range(count // 1024):
            far.sendall(burst)
            wrong += [await reader.readline() for _ in range(1024)] != lines
    expect(wrong, 0, "bursts with a wrong line")
    far.close()
    expect(await reader.readline(), b"", "line after the end")
    writer.close()
    await writer.wait_closed()
