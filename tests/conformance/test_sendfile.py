"""Files sent through sockets and transports: loop.sock_sendfile and loop.sendfile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import socket
import tempfile

import aiohttp
import aiohttp.web
import pytest
from certificates import client_context, server_context
from peers import LOCAL, Recorder, tcp_pair

import boros

DATA = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def boros_run():
    """Like ``run``, for what asyncio gets wrong."""

    def run(main):
        with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def file():
    """A file of ``DATA``, in the system's keeping."""
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        yield file


@pytest.fixture(params=["file", "memory"])
def source(request):
    """A file that the kernel can send, and one that has to be read."""
    if request.param == "file":
        yield request.getfixturevalue("file")
    else:
        yield io.BytesIO(DATA)


@contextlib.contextmanager
def sockets(make=tcp_pair):
    left, right = make()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


async def receive(sock):
    """All that comes until the end."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while piece := await loop.sock_recv(sock, 1 << 16):
        data += piece
    return data


async def transports(make=tcp_pair, tls=False):
    """Two connected protocols."""
    loop = asyncio.get_running_loop()
    left, right = make()
    options, asked = {}, {}
    if tls:
        options = {"ssl": server_context()}
        asked = {"ssl": client_context(), "server_hostname": "localhost"}
    (_, one), (_, two) = await asyncio.gather(
        loop.create_connection(Recorder, sock=left, **asked),
        loop.connect_accepted_socket(Recorder, right, **options),
    )
    return one, two


async def finish(*protocols):
    for protocol in protocols:
        protocol.transport.close()
    for protocol in protocols:
        await protocol.lost


# Sockets


@pytest.mark.parametrize(
    "offset, count",
    [(0, None), (1000, None), (0, 1), (5, 2000), (len(DATA) - 10, 100), (0, len(DATA))],
)
def test_a_file_goes_through_a_socket(run, pair, source, offset, count):
    async def main():
        loop = asyncio.get_running_loop()
        with sockets(pair) as (left, right):
            receiving = asyncio.ensure_future(receive(right))
            sent = await loop.sock_sendfile(left, source, offset, count)
            left.shutdown(socket.SHUT_WR)
            expected = DATA[offset:] if count is None else DATA[offset : offset + count]
            assert await receiving == expected
            assert sent == len(expected)
            assert source.tell() == offset + sent
        await loop.shutdown_default_executor()

    run(main())


def test_an_empty_file(run):
    async def main():
        loop = asyncio.get_running_loop()
        with sockets() as (left, _), tempfile.TemporaryFile() as file:
            assert await loop.sock_sendfile(left, file) == 0

    run(main())


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        (TypeError, "offset must be a non-negative integer", {"offset": 0.5}),
        (ValueError, "offset must be a non-negative integer", {"offset": -1}),
        (TypeError, "count must be a positive integer", {"count": "1"}),
        (ValueError, "count must be a positive integer", {"count": 0}),
        (ValueError, "count must be a positive integer", {"count": -3}),
    ],
)
def test_ranges_that_make_no_sense(run, file, error, message, arguments):
    async def main():
        loop = asyncio.get_running_loop()
        with sockets() as (left, _), pytest.raises(error, match=message):
            await loop.sock_sendfile(left, file, **arguments)
        one, two = await transports()
        with pytest.raises(error, match=message):
            await loop.sendfile(one.transport, file, **arguments)
        await finish(one, two)

    run(main())


def test_what_cannot_be_sent(run, file):
    async def main():
        loop = asyncio.get_running_loop()
        with sockets() as (left, _):
            with open(os.devnull) as text:
                with pytest.raises(ValueError, match="binary mode"):
                    await loop.sock_sendfile(left, text)
            with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
                await loop.sock_sendfile(left, io.BytesIO(b"x"), fallback=False)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.setblocking(False)
                with pytest.raises(ValueError, match="only SOCK_STREAM"):
                    await loop.sock_sendfile(datagrams, file)
            loop.set_debug(True)
            left.setblocking(True)
            with pytest.raises(ValueError, match="must be non-blocking"):
                await loop.sock_sendfile(left, file)

    run(main())


def test_a_pipe_is_read(boros_run):
    async def main():
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        with open(reader, "rb", 0) as pipe, sockets() as (left, right):
            os.write(writer, b"through the pipe")
            os.close(writer)
            # asyncio takes it for an empty file.
            assert await loop.sock_sendfile(left, pipe) == 16
            assert right.recv(100) == b"through the pipe"

    boros_run(main())


def test_a_peer_that_leaves_is_an_error(run, source):
    async def main():
        loop = asyncio.get_running_loop()
        with sockets() as (left, right):
            sending = asyncio.ensure_future(loop.sock_sendfile(left, source))
            await loop.sock_recv(right, 1000)
            right.close()
            with pytest.raises(ConnectionError):
                await sending
            assert 0 < source.tell() < len(DATA)
        await loop.shutdown_default_executor()

    run(main())


def test_what_was_sent_is_known_after_a_cancellation(boros_run, file):
    # asyncio leaves the position where it was.
    async def main():
        loop = asyncio.get_running_loop()
        with sockets() as (left, right):
            sending = asyncio.ensure_future(loop.sock_sendfile(left, file, 100))
            while not file.tell():
                # Nobody reads it: it gets as far as the kernel's buffers.
                await asyncio.sleep(0)
                sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            sent = file.tell() - 100
            assert 0 < sent < len(DATA) - 100
            left.shutdown(socket.SHUT_WR)
            assert await receive(right) == DATA[100 : 100 + sent]
            # The socket is nobody's.
            assert not loop.remove_writer(left)

    boros_run(main())


# Transports


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("offset, count", [(0, None), (70_000, 100_000)])
def test_a_file_goes_through_a_transport(run, pair, source, tls, offset, count):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports(pair, tls)
        # The order in which it was written is the order in which it is sent.
        before, after = b"before" * 50_000, b"after" * 1000
        one.transport.write(before)
        sent = await loop.sendfile(one.transport, source, offset, count)
        one.transport.write(after)
        expected = DATA[offset:] if count is None else DATA[offset : offset + count]
        assert sent == len(expected)
        assert source.tell() == offset + sent
        await two.has(len(before) + sent + len(after))
        assert two.data == before + expected + after
        # It reads again, and calls the same protocol.
        assert one.transport.get_protocol() is one
        assert one.transport.is_reading()
        two.transport.write(b"answer")
        await one.has(6)
        await finish(one, two)
        await loop.shutdown_default_executor()

    run(main())


def test_nobody_writes_while_a_file_is_sent(run, loop_kind, file):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        two.transport.pause_reading()
        sending = asyncio.ensure_future(loop.sendfile(one.transport, file))
        await asyncio.sleep(0)
        for write in (one.transport.write, lambda data: one.transport.writelines([data])):
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                write(b"between")
        if loop_kind == "boros":
            # asyncio does not expect it, and trips over its own records.
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                await loop.sendfile(one.transport, file)
        two.transport.resume_reading()
        assert await sending == len(DATA)
        await two.has(len(DATA))
        assert two.data == DATA
        await finish(one, two)

    run(main())


def test_nothing_is_read_while_a_file_is_sent(run, file):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        two.transport.pause_reading()
        sending = asyncio.ensure_future(loop.sendfile(one.transport, file))
        await asyncio.sleep(0)
        two.transport.write(b"meanwhile")
        for _ in range(5):
            await asyncio.sleep(0)
        assert one.data == b""
        assert not one.transport.is_reading()
        two.transport.resume_reading()
        await sending
        await one.has(9)
        await finish(one, two)

    run(main())


def test_a_reader_that_was_paused_stays_paused(run, source):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        one.transport.pause_reading()
        await loop.sendfile(one.transport, source)
        assert not one.transport.is_reading()
        await finish(one, two)
        await loop.shutdown_default_executor()

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_transport_closed_meanwhile_is_an_error(boros_run, file, end):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        two.transport.pause_reading()
        sending = asyncio.ensure_future(loop.sendfile(one.transport, file))
        for _ in range(5):
            await asyncio.sleep(0)
        getattr(one.transport, end)()
        with pytest.raises(ConnectionError):
            await sending
        assert await one.lost is None
        two.transport.resume_reading()
        await two.lost
        assert two.data == DATA[: file.tell()]

    boros_run(main())


def test_the_end_that_was_asked_for_comes_after_the_file(boros_run, file):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        two.transport.pause_reading()
        sending = asyncio.ensure_future(loop.sendfile(one.transport, file))
        await asyncio.sleep(0)
        one.transport.write_eof()
        two.transport.resume_reading()
        assert await sending == len(DATA)
        await two.eof
        assert two.data == DATA
        await finish(one, two)

    boros_run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_a_peer_that_resets_is_an_error_for_a_transport(run, loop_kind, source, tls):
    if loop_kind == "asyncio" and tls:
        pytest.skip("asyncio may write all of it to a connection that is closed")

    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports(tls=tls)
        sending = asyncio.ensure_future(loop.sendfile(one.transport, source))
        await two.has(1000)
        two.transport.abort()
        with pytest.raises(ConnectionError):
            await sending
        await one.lost
        await two.lost
        assert source.tell() < len(DATA)
        await loop.shutdown_default_executor()

    run(main())


def test_a_cancelled_sender_leaves_the_transport_in_order(boros_run, file):
    # asyncio leaves the position where it was.
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports()
        two.transport.pause_reading()
        sending = asyncio.ensure_future(loop.sendfile(one.transport, file))
        for _ in range(5):
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        sent = file.tell()
        assert 0 < sent < len(DATA)
        one.transport.write(b"after")
        two.transport.resume_reading()
        await two.has(sent + 5)
        assert two.data == DATA[:sent] + b"after"
        await finish(one, two)

    boros_run(main())


def test_a_protocol_hears_that_its_transport_has_become_full(boros_run):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports(tls=True)
        one.transport.set_write_buffer_limits(high=1)
        two.transport.pause_reading()
        # More than the kernel and both sides keep.
        source = io.BytesIO(bytes(64 << 20))
        sending = asyncio.ensure_future(loop.sendfile(one.transport, source))
        while not one.transport._protocol_paused:
            await asyncio.sleep(0.001)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert one.calls == ["made", "pause"]
        two.transport.resume_reading()
        await one.resumed.wait()
        await finish(one, two)

    boros_run(main())


def test_transports_that_send_no_files(run, file):
    async def main():
        loop = asyncio.get_running_loop()
        one, two = await transports(tls=True)
        with pytest.raises(RuntimeError, match="fallback is disabled"):
            await loop.sendfile(one.transport, file, fallback=False)
        await finish(one, two)
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(one.transport, file)

        class Other(asyncio.Transport):
            def is_closing(self):
                return False

        with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
            await loop.sendfile(Other(), file)
        one, two = await transports()
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(one.transport, io.BytesIO(b"x"), fallback=False)
        assert one.transport.is_reading()
        await finish(one, two)

    run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_aiohttp_serves_a_file(run, tls):
    async def main():
        with tempfile.NamedTemporaryFile() as file:
            file.write(DATA)
            file.flush()

            async def download(request):
                return aiohttp.web.FileResponse(file.name)

            application = aiohttp.web.Application()
            application.router.add_get("/", download)
            runner = aiohttp.web.AppRunner(application)
            await runner.setup()
            context = server_context() if tls else None
            await aiohttp.web.TCPSite(runner, LOCAL, 0, ssl_context=context).start()
            scheme = "https" if tls else "http"
            url = f"{scheme}://localhost:{runner.addresses[0][1]}/"
            connector = aiohttp.TCPConnector(ssl=client_context())
            async with aiohttp.ClientSession(connector=connector) as session:
                for _ in range(2):
                    async with session.get(url) as response:
                        assert await response.read() == DATA
                async with session.get(url, headers={"Range": "bytes=10-99"}) as response:
                    assert await response.read() == DATA[10:100]
            await runner.cleanup()

    run(main())
