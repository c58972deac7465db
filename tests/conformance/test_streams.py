"""asyncio's streams on top of the loop's transports."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import tempfile
from random import Random

import pytest

LOCAL = "127.0.0.1"


@contextlib.asynccontextmanager
async def serving(handler, *, path=None, **options):
    """A server whose connections are handled by ``handler(reader, writer)``; gives its address."""
    finished = []

    async def handle(reader, writer):
        task = asyncio.current_task()
        finished.append(task)
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    if path is None:
        server = await asyncio.start_server(handle, LOCAL, 0, **options)
        address = server.sockets[0].getsockname()
    else:
        server = await asyncio.start_unix_server(handle, path, **options)
        address = path
    async with server:
        yield address
        await asyncio.gather(*finished)


@contextlib.asynccontextmanager
async def connected(address, **options):
    """A connection as reader and writer, which is closed in the end."""
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address, **options)
    else:
        reader, writer = await asyncio.open_connection(*address, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def sends(*pieces):
    """A handler that sends ``pieces`` and hangs up."""

    async def handler(reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return handler


def test_an_echo(run):
    async def main():
        async with serving(echo) as address, connected(address) as (reader, writer):
            for size in (1, 1000, 300_000):
                data = bytes(range(251)) * (size // 251 + 1)
                writer.write(data)
                assert await reader.readexactly(len(data)) == data
            writer.write_eof()
            assert await reader.read() == b""
            assert reader.at_eof()

    run(main())


def test_many_connections_at_once(run):
    async def main():
        async def client(address, number):
            async with connected(address) as (reader, writer):
                for turn in range(5):
                    line = b"%d %d\n" % (number, turn)
                    writer.write(line)
                    assert await reader.readline() == line

        async with serving(echo) as address:
            await asyncio.gather(*(client(address, number) for number in range(50)))

    run(main())


def test_unix_streams(run):
    async def main():
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/sock"
            async with serving(echo, path=path), connected(path) as (reader, writer):
                writer.writelines([b"one\n", b"two\n"])
                assert await reader.readline() == b"one\n"
                assert await reader.readline() == b"two\n"

    run(main())


def test_lines(run):
    async def main():
        async with (
            serving(sends(b"first\nsec", b"ond\n", b"\n", b"no end")) as address,
            connected(address) as (reader, _),
        ):
            assert [line async for line in reader] == [b"first\n", b"second\n", b"\n", b"no end"]
            assert await reader.readline() == b""

    run(main())


def test_a_line_that_is_too_long(run):
    async def main():
        async with (
            serving(sends(b"x" * 20 + b"\nshort\n")) as address,
            connected(address, limit=10) as (reader, _),
        ):
            with pytest.raises(ValueError, match="chunk is longer than limit"):
                await reader.readline()
            assert await reader.readline() == b"short\n"

    run(main())


def test_a_line_that_is_too_long_and_has_no_end(run):
    async def main():
        async with (
            serving(sends(b"x" * 100)) as address,
            connected(address, limit=10) as (reader, _),
        ):
            with pytest.raises(ValueError, match="chunk exceed the limit"):
                await reader.readline()

    run(main())


def test_reading_until_a_separator(run):
    async def main():
        async with (
            serving(sends(b"one--two-", b"-three")) as address,
            connected(address) as (reader, _),
        ):
            assert await reader.readuntil(b"--") == b"one--"
            assert await reader.readuntil(b"--") == b"two--"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readuntil(b"--")
            assert caught.value.partial == b"three"
            with pytest.raises(ValueError, match="[Ss]eparator"):
                await reader.readuntil(b"")

    run(main())


def test_a_separator_beyond_the_limit(run):
    async def main():
        async with (
            serving(sends(b"x" * 20 + b"--rest")) as address,
            connected(address, limit=10) as (reader, _),
        ):
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await reader.readuntil(b"--")
            # It stays in the buffer.
            assert await reader.readexactly(caught.value.consumed) == b"x" * caught.value.consumed

    run(main())


def test_reading_exactly(run):
    async def main():
        async with (
            serving(sends(b"12345", b"678")) as address,
            connected(address) as (reader, _),
        ):
            assert await reader.readexactly(6) == b"123456"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(6)
            assert (caught.value.partial, caught.value.expected) == (b"78", 6)
            with pytest.raises(ValueError):
                await reader.readexactly(-1)

    run(main())


def test_a_reader_that_does_not_read_holds_the_sender_up(run):
    async def main():
        sent = 0
        # Less than this process and the kernel keep on the way.
        piece = bytes(1 << 20)

        async def flood(reader, writer):
            nonlocal sent
            # Until a drain waits.
            while True:
                writer.write(piece)
                sent += len(piece)
                waiting = asyncio.ensure_future(writer.drain())
                done, _ = await asyncio.wait([waiting], timeout=0.1)
                if not done:
                    break
            held_up.set_result(None)
            await waiting

        held_up = asyncio.get_running_loop().create_future()
        async with serving(flood) as address, connected(address, limit=1024) as (reader, writer):
            await held_up
            # The reader stopped at twice its limit.
            assert not writer.transport.is_reading()
            received = 0
            while data := await reader.read(1 << 20):
                received += len(data)
            assert received == sent

    run(main())


def test_a_peer_that_vanishes_while_we_write(run):
    async def main():
        hung_up = asyncio.Event()

        async def hang_up(reader, writer):
            await reader.read(1)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()
            hung_up.set()

        async with serving(hang_up) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(bytes(1 << 24))
            with pytest.raises(ConnectionError):
                await writer.drain()
            await hung_up.wait()
            with pytest.raises(ConnectionError):
                await reader.readexactly(1)
            writer.close()
            with pytest.raises(ConnectionError):
                await writer.wait_closed()

    run(main())


def test_a_peer_that_vanishes_while_we_read(run):
    async def main():
        async def reset(reader, writer):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

        async with serving(reset) as address:
            reader, writer = await asyncio.open_connection(*address)
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            writer.close()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

    run(main())


def test_what_was_written_arrives_after_close(run):
    async def main():
        data = bytes(range(256)) * 8192

        async def send_and_close(reader, writer):
            writer.write(data)
            assert not writer.is_closing()
            writer.close()
            assert writer.is_closing()
            await writer.wait_closed()

        async with serving(send_and_close) as address, connected(address) as (reader, _):
            assert await reader.read() == data

    run(main())


def test_a_handler_that_raises_is_reported(run, reports):
    async def main():
        async def broken(reader, writer):
            raise ArithmeticError("broken")

        server = await asyncio.start_server(broken, LOCAL, 0)
        async with server:
            async with connected(server.sockets[0].getsockname()) as (reader, _):
                if sys.version_info >= (3, 12):
                    assert await reader.read() == b""
                else:
                    # Nobody closes the connection, and the task keeps its exception for itself.
                    await asyncio.sleep(0)

    run(main())
    if sys.version_info >= (3, 12):
        assert [type(report["exception"]) for report in reports] == [ArithmeticError]


def test_a_handler_that_is_a_function(run):
    async def main():
        loop = asyncio.get_running_loop()
        given = loop.create_future()
        server = await asyncio.start_server(
            lambda reader, writer: given.set_result((reader, writer)), LOCAL, 0
        )
        async with server:
            async with connected(server.sockets[0].getsockname()) as (_, client):
                reader, writer = await given
                client.write(b"hello\n")
                assert await reader.readline() == b"hello\n"
                writer.close()
                await writer.wait_closed()

    run(main())


def test_a_stream_over_a_socket_of_our_own(run):
    async def main():
        left, right = socket.socketpair()
        async with connected_by(left) as (reader, writer), connected_by(right) as (peer, other):
            writer.write(b"there")
            other.write(b"back")
            assert await peer.readexactly(5) == b"there"
            assert await reader.readexactly(4) == b"back"

    @contextlib.asynccontextmanager
    async def connected_by(sock):
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()

    run(main())


class MixedEcho(asyncio.Protocol):
    """Sends everything back in ways that vary, and reads no faster than it can send."""

    def __init__(self, random):
        self.random = random

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=self.random.choice([0, 1, 1000, 100_000]))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data):
        middle = len(data) // 2
        way = self.random.randrange(4)
        if way == 0:
            self.transport.write(data)
        elif way == 1:
            self.transport.write(bytearray(data))
        elif way == 2:
            self.transport.writelines([data[:middle], b"", data[middle:]])
        else:
            self.transport.write(memoryview(data)[:middle])
            self.transport.write(memoryview(data)[middle:])


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_is_lost_or_moved_whatever_the_pace(run, seed):
    random = Random(seed)

    async def send(writer, data, aborts):
        position = 0
        while position < len(data):
            size = random.choice([1000, 30_000, 300_000])
            writer.write(data[position : position + size])
            position += size
            if random.random() < 0.7:
                await writer.drain()
            if aborts and random.random() < 0.2:
                writer.transport.abort()
                return
        writer.write_eof()

    async def client(address):
        data = random.randbytes(random.choice([0, 1, 1000, 100_000, 1_000_000]))
        aborts = random.random() < 0.2
        async with connected(address) as (reader, writer):
            sending = asyncio.create_task(send(writer, data, aborts))
            received = bytearray()
            try:
                while piece := await reader.read(random.choice([1000, 1 << 18])):
                    received += piece
                    if random.random() < 0.1:
                        await asyncio.sleep(0)
                await sending
            except ConnectionError:
                assert aborts
                sending.cancel()
                await asyncio.wait([sending])
            assert data.startswith(received)
            assert aborts or len(received) == len(data)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: MixedEcho(random), LOCAL, 0)
        async with server:
            address = server.sockets[0].getsockname()
            await asyncio.gather(*(client(address) for _ in range(40)))

    run(main())


def test_a_reader_that_is_cancelled_loses_nothing(run):
    async def main():
        turn = asyncio.Event()

        async def slow(reader, writer):
            writer.write(b"one")
            await turn.wait()
            writer.write(b"two")
            await writer.drain()

        async with serving(slow) as address, connected(address) as (reader, _):
            task = asyncio.create_task(reader.readexactly(6))
            while not reader._buffer:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            turn.set()
            assert await reader.readexactly(6) == b"onetwo"

    run(main())


def test_a_refused_stream(run):
    async def main():
        with socket.socket() as unused:
            unused.bind((LOCAL, 0))
            with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
                await asyncio.open_connection(*unused.getsockname())
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection("/nowhere/at/all")

    run(main())


def test_an_open_connection_that_times_out(run):
    async def main():
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.socket())
            server.bind((LOCAL, 0))
            server.listen(0)
            # The backlog is full after a few, and further attempts are not answered.
            for _ in range(8):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(server.getsockname())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.open_connection(*server.getsockname())

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio warns from 3.13 on")
def test_a_writer_that_nobody_closes_is_closed_and_heard_of(run):
    async def main():
        left, right = socket.socketpair()
        right.setblocking(False)
        with right:
            reader, writer = await asyncio.open_connection(sock=left)
            with pytest.warns(ResourceWarning, match="unclosed <StreamWriter"):
                del reader, writer
                gc.collect()
            assert await asyncio.get_running_loop().sock_recv(right, 1) == b""

    run(main())
