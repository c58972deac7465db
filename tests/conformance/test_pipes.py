"""Transports over pipes, sockets and terminals: what a protocol is told, and who closes what, on both loops."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import hashlib
import logging
import os
import pty
import random
import socket
import tty
import weakref

import pytest
from peers import Recorder

import boros

BIG = 3_000_000


@pytest.fixture
def pipe():
    """The two ends of a pipe, as unbuffered file objects; what is still open is closed."""
    reader, writer = os.pipe()
    files = os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0)
    yield files
    for file in files:
        file.close()


@pytest.fixture
def boros_run(_reports):
    """Like ``run``, for what only boros does."""

    def make():
        loop = boros.new_event_loop()
        loop.set_exception_handler(_reports)
        return loop

    def run(main):
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(main)

    return run


async def reading(file, protocol=None):
    """A transport that reads ``file``, and its protocol."""
    return await asyncio.get_running_loop().connect_read_pipe(lambda: protocol or Recorder(), file)


async def writing(file, protocol=None):
    """A transport that writes to ``file``, and its protocol."""
    return await asyncio.get_running_loop().connect_write_pipe(lambda: protocol or Recorder(), file)


async def settle():
    """Wait until the loop has told of everything that was ready before."""
    reader, writer = os.pipe()
    os.write(writer, b"x")
    readable = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(reader, lambda: readable.done() or readable.set_result(1))
    await readable
    asyncio.get_running_loop().remove_reader(reader)
    os.close(reader)
    os.close(writer)
    await turns()


async def turns(count=3):
    """Let the loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


# Reading


def test_what_is_written_to_a_pipe_is_received_until_its_end(run, pipe):
    async def main():
        transport, protocol = await reading(pipe[0])
        assert protocol.calls == ["made"]
        assert transport.get_extra_info("pipe") is pipe[0]
        assert transport.get_extra_info("socket", "none") == "none"
        assert transport.get_protocol() is protocol
        os.write(pipe[1].fileno(), b"spam")
        await protocol.has(4)
        os.write(pipe[1].fileno(), b"eggs")
        pipe[1].close()
        assert await protocol.lost is None
        assert protocol.data == b"spameggs"
        assert protocol.calls == ["made", "data", "eof", "lost"]
        await turns()
        assert transport.is_closing()
        assert pipe[0].closed
        transport.close()

    run(main())


def test_what_was_written_before_is_received_after_the_introduction(run, pipe):
    async def main():
        pipe[1].write(b"early")
        pipe[1].close()
        _, protocol = await reading(pipe[0])
        await protocol.lost
        assert protocol.calls == ["made", "data", "eof", "lost"]

    run(main())


def test_a_paused_pipe_is_not_read(run, pipe):
    async def main():
        transport, protocol = await reading(pipe[0])
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        pipe[1].write(b"spam")
        await settle()
        assert not protocol.data
        transport.resume_reading()
        transport.resume_reading()
        await protocol.has(4)
        transport.close()
        assert not transport.is_reading()
        transport.pause_reading()
        transport.resume_reading()
        await protocol.lost

    run(main())


def test_a_pipe_paused_at_its_introduction_is_not_read(run, pipe):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        pipe[1].write(b"spam")
        transport, protocol = await reading(pipe[0], Paused())
        await settle()
        assert protocol.calls == ["made"]
        transport.resume_reading()
        await protocol.has(4)
        transport.close()
        await protocol.lost

    run(main())


def test_closing_while_data_waits(run, pipe):
    async def main():
        transport, protocol = await reading(pipe[0])
        pipe[1].write(b"spam")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "lost"]
        assert pipe[0].closed

    run(main())


def test_a_protocol_that_raises_is_reported_and_goes_on(run, pipe, reports):
    class Raises(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"bad":
                raise ValueError("no")

    async def main():
        _, protocol = await reading(pipe[0], Raises())
        pipe[1].write(b"bad")
        await protocol.has(3)
        pipe[1].write(b"good")
        await protocol.has(7)
        pipe[1].close()
        await protocol.lost

    run(main())
    assert [str(report["exception"]) for report in reports] == ["no"]


def test_a_protocol_that_raises_at_the_end_is_reported_and_told_of_the_loss(run, pipe, reports):
    class Raises(Recorder):
        def eof_received(self):
            super().eof_received()
            raise ValueError("no")

    async def main():
        _, protocol = await reading(pipe[0], Raises())
        pipe[1].close()
        await protocol.lost
        assert protocol.calls == ["made", "eof", "lost"]

    run(main())
    assert [str(report["exception"]) for report in reports] == ["no"]


def test_another_protocol_can_take_over(run, pipe):
    async def main():
        transport, first = await reading(pipe[0])
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        pipe[1].write(b"spam")
        await second.has(4)
        pipe[1].close()
        await second.lost
        assert first.calls == ["made"]

    run(main())


def test_callbacks_run_in_the_context_of_the_connecting_task(run, pipe):
    name = contextvars.ContextVar("name", default="none")
    seen = []

    class Looks(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(name.get())

        def data_received(self, data):
            super().data_received(data)
            seen.append(name.get())

        def connection_lost(self, exc):
            super().connection_lost(exc)
            seen.append(name.get())

    async def main():
        name.set("task")
        _, protocol = await reading(pipe[0], Looks())
        name.set("later")
        pipe[1].write(b"spam")
        await protocol.has(4)
        pipe[1].close()
        await protocol.lost

    run(main())
    assert seen == ["task"] * 3


# Writing


def test_what_is_written_arrives(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        assert transport.can_write_eof()
        transport.write(b"")
        transport.write(b"one ")
        transport.write(bytearray(b"two "))
        transport.write(memoryview(b"three "))
        transport.writelines([b"four ", bytearray(b"five")])
        assert transport.get_write_buffer_size() == 0
        transport.write_eof()
        assert transport.is_closing()
        assert await protocol.lost is None
        assert pipe[0].read() == b"one two three four five"
        assert pipe[1].closed

    run(main())


def test_much_data_waits_for_the_reader_and_arrives_whole(run, pipe):
    data = random.Random(1).randbytes(BIG)

    async def main():
        transport, protocol = await writing(pipe[1])
        transport.write(data)
        assert 0 < transport.get_write_buffer_size() < BIG
        assert protocol.calls == ["made", "pause"]
        # What the program does with its buffer afterwards must not be seen.
        last = bytearray(b"the end")
        transport.write(last)
        last[:] = b"changed"
        transport.close()
        _, reader = await reading(pipe[0])
        await protocol.lost
        await reader.lost
        assert hashlib.sha256(reader.data).digest() == hashlib.sha256(data + b"the end").digest()
        assert protocol.calls == ["made", "pause", "resume", "lost"]

    run(main())


def test_many_small_writes_keep_their_order(run, pipe):
    pieces = [b"%d\n" % number for number in range(30_000)]

    async def main():
        transport, protocol = await writing(pipe[1])
        for piece in pieces:
            transport.write(piece)
        transport.close()
        _, reader = await reading(pipe[0])
        await reader.lost
        await protocol.lost
        assert reader.data == b"".join(pieces)

    run(main())


def test_the_limits_of_the_buffer(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        assert transport.get_write_buffer_limits() == (16384, 65536)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        transport.set_write_buffer_limits(low=20)
        assert transport.get_write_buffer_limits() == (20, 80)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=-1)
        transport.set_write_buffer_limits(high=0)
        transport.write(bytes(BIG))
        assert protocol.calls == ["made", "pause"]
        transport.abort()
        await protocol.lost

    run(main())


def test_abort_drops_what_is_buffered(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        transport.write(bytes(BIG))
        transport.close()
        assert transport.get_write_buffer_size() > 0
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        assert len(pipe[0].read()) < BIG

    run(main())


def test_writes_after_the_end_are_dropped_with_a_warning(run, pipe, caplog):
    async def main():
        transport, protocol = await writing(pipe[1])
        transport.close()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(7):
                transport.write(b"lost")
        await protocol.lost
        assert len(caplog.records) == 2
        assert "pipe closed by peer" in caplog.text
        assert pipe[0].read() == b""

    run(main())


def test_only_bytes_are_written(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        for wrong in ("text", 1, None, [b"x"]):
            # asyncio asserts.
            with pytest.raises((TypeError, AssertionError)):
                transport.write(wrong)
        transport.close()
        await protocol.lost

    run(main())


def test_the_protocol_learns_when_the_reader_has_left(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        pipe[0].close()
        assert await protocol.lost is None
        assert transport.is_closing()
        await turns()
        assert pipe[1].closed

    run(main())


def test_a_reader_that_leaves_before_all_was_read_breaks_the_pipe(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        transport.write(bytes(BIG))
        pipe[0].close()
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert transport.get_write_buffer_size() == 0

    run(main())


def test_a_write_that_finds_the_pipe_broken(run, pipe):
    async def main():
        transport, protocol = await writing(pipe[1])
        pipe[0].close()
        transport.write(b"spam")
        assert transport.is_closing()
        assert isinstance(await protocol.lost, BrokenPipeError)

    run(main())


def test_a_protocol_that_fails_to_pause_is_reported(run, pipe, reports):
    class Raises(Recorder):
        def pause_writing(self):
            raise ValueError("no")

    async def main():
        transport, protocol = await writing(pipe[1], Raises())
        transport.write(bytes(BIG))
        transport.abort()
        await protocol.lost

    run(main())
    assert [report["message"] for report in reports] == ["protocol.pause_writing() failed"]


def test_a_stream_writer_drains_into_a_pipe(run, pipe):
    data = random.Random(2).randbytes(BIG)

    async def main():
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe[0])
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, pipe[1]
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)

        async def produce():
            for start in range(0, BIG, 100_000):
                writer.write(data[start : start + 100_000])
                await writer.drain()
            writer.close()

        produced = asyncio.create_task(produce())
        assert await stream.read() == data
        await produced
        await turns()

    run(main())


# Other files


def test_sockets_are_pipes_too(run):
    async def main():
        left, right = socket.socketpair()
        transport, protocol = await writing(left)
        _, reader = await reading(right)
        transport.write(b"spam")
        await reader.has(4)
        transport.close()
        await protocol.lost
        await reader.lost

    run(main())


def test_a_socket_whose_peer_leaves_is_noticed(run):
    async def main():
        left, right = socket.socketpair()
        _, protocol = await writing(left)
        right.close()
        assert await protocol.lost is None

    run(main())


def test_a_socket_whose_peer_talks_stays_open(boros_run):
    # asyncio takes what can be read for the end.
    async def main():
        left, right = socket.socketpair()
        transport, protocol = await writing(left)
        right.send(b"hello")
        await settle()
        assert not transport.is_closing()
        transport.write(b"spam")
        assert right.recv(10) == b"spam"
        right.close()
        transport.write(b"more")
        assert isinstance(await protocol.lost, BrokenPipeError)

    boros_run(main())


def test_a_fifo_that_is_its_own_reader_stays_open(boros_run, tmp_path):
    # asyncio takes what it wrote for the reader's end.
    os.mkfifo(tmp_path / "fifo")

    async def main():
        fd = os.open(tmp_path / "fifo", os.O_RDWR)
        transport, protocol = await writing(os.fdopen(fd, "r+b", 0))
        transport.write(b"spam")
        await settle()
        assert not transport.is_closing()
        assert os.read(fd, 10) == b"spam"
        transport.close()
        await protocol.lost

    boros_run(main())


def test_a_named_pipe(run, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        _, reader = await reading(os.fdopen(fd, "rb", 0))
        transport, protocol = await writing(open(path, "wb", 0))
        transport.write(b"spam")
        transport.close()
        await reader.lost
        assert reader.data == b"spam"
        await protocol.lost

    run(main())


def test_a_terminal_that_is_hung_up_ends_without_a_report(run):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        _, reader = await reading(os.fdopen(master, "rb", 0))
        transport, writer = await writing(os.fdopen(slave, "wb", 0))
        transport.write(b"spam")
        await reader.has(4)
        transport.close()
        await writer.lost
        lost = await reader.lost
        assert lost.errno == errno.EIO

    run(main())


def test_a_device_that_is_always_ready_can_be_read(boros_run):
    # asyncio reports that the poller refuses it, and never reads.
    async def main():
        _, empty = await reading(open("/dev/null", "rb", 0))
        assert await empty.lost is None
        assert empty.calls == ["made", "eof", "lost"]
        transport, zeros = await reading(open("/dev/zero", "rb", 0))
        await zeros.has(1_000_000)
        transport.pause_reading()
        size = len(zeros.data)
        transport.resume_reading()
        transport.pause_reading()
        await turns()
        assert len(zeros.data) == size
        transport.resume_reading()
        await zeros.has(size + 1)
        transport.close()
        await zeros.lost

    boros_run(main())


def test_a_device_can_be_written(run):
    async def main():
        transport, protocol = await writing(open("/dev/null", "wb", 0))
        transport.write(bytes(BIG))
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("connect", [reading, writing])
def test_a_regular_file_is_refused_and_stays_the_callers(run, tmp_path, connect):
    path = tmp_path / "file"
    path.write_bytes(b"content")

    async def main():
        with open(path, "r+b", 0) as file:
            with pytest.raises(ValueError, match="^Pipe transport is (only )?for pipes"):
                await connect(file)
            assert file.read() == b"content"

    run(main())


@pytest.mark.parametrize("connect", [reading, writing])
def test_a_closed_file_is_refused(boros_run, pipe, connect):
    # As by asyncio, whose half-made transport then fails again when it goes.
    async def main():
        for file in pipe:
            file.close()
        with pytest.raises(ValueError, match="closed file"):
            await connect(pipe[0])
        with pytest.raises(AttributeError):
            await connect(3)

    boros_run(main())


def test_a_descriptor_that_is_not_open_is_refused(boros_run):
    class Stale:
        def fileno(self):
            return 987654

        def close(self):
            raise AssertionError("not ours")

    async def main():
        for connect in reading, writing:
            with pytest.raises(OSError) as caught:
                await connect(Stale())
            assert caught.value.errno == errno.EBADF

    boros_run(main())


# Who closes what


class Counted:
    """A file object that counts how often it is closed."""

    def __init__(self, fd):
        self.fd = fd
        self.closed = 0

    def fileno(self):
        return self.fd

    def close(self):
        self.closed += 1
        os.close(self.fd)


@pytest.mark.parametrize("way", ["close", "abort", "eof", "peer"])
def test_a_pipe_is_closed_once(run, way):
    async def main():
        reader, writer = map(Counted, os.pipe())
        out, write_protocol = await writing(writer)
        into, read_protocol = await reading(reader)
        if way == "peer":
            into.close()
        elif way == "eof":
            out.write_eof()
        else:
            getattr(out, way)()
        await asyncio.gather(write_protocol.lost, read_protocol.lost)
        await turns()
        for transport in out, into:
            transport.close()
        if isinstance(asyncio.get_running_loop(), boros.EventLoop):
            # asyncio fails over this.
            out.abort()
        await turns()
        assert (reader.closed, writer.closed) == (1, 1)

    run(main())


def test_a_cancelled_connect_closes_the_pipe(run, pipe):
    async def main():
        protocol = Recorder()
        task = asyncio.create_task(reading(pipe[0], protocol))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.lost
        await turns()
        assert pipe[0].closed

    run(main())


def test_a_pipe_closed_by_the_program_is_not_confused_with_the_next(boros_run, reports):
    # Its number is in use again, and what comes there is not for this transport.
    async def main():
        reader, writer = os.pipe()
        file = os.fdopen(reader, "rb", 0)
        transport, protocol = await reading(file)
        file.close()
        os.close(writer)
        other_reader, other_writer = os.pipe()
        assert other_reader == reader
        transport.pause_reading()
        transport.resume_reading()
        lost = await protocol.lost
        assert lost.errno == errno.EBADF
        other, recorder = await reading(os.fdopen(other_reader, "rb", 0))
        os.write(other_writer, b"spam")
        await recorder.has(4)
        os.close(other_writer)
        await recorder.lost
        assert not protocol.data

    boros_run(main())
    assert [report["message"] for report in reports] == ["Fatal read error on pipe transport"]


@pytest.mark.parametrize("connect", [reading, writing])
def test_a_transport_that_is_dropped_warns_and_closes(loop, pipe, connect):
    file = pipe[0] if connect is reading else pipe[1]
    transport, _ = loop.run_until_complete(connect(file))
    loop.close()
    assert "open" in repr(transport)
    watch = weakref.ref(transport)
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport, _
        gc.collect()
    assert watch() is None
    assert file.closed


def test_transports_of_a_closed_loop_close_without_a_word(new_loop, pipe):
    loop = new_loop()
    if not isinstance(loop, boros.EventLoop):
        # asyncio raises, for it has nobody to tell.
        loop.close()
        return

    async def main():
        (into, _), (out, _) = await reading(pipe[0]), await writing(pipe[1])
        return into, out

    into, out = loop.run_until_complete(main())
    loop.close()
    into.close()
    out.write(bytes(BIG))
    out.close()
    assert pipe[0].closed and pipe[1].closed


def test_no_transport_is_made_on_a_closed_loop(pipe):
    loop = boros.new_event_loop()
    loop.close()
    for make in loop._make_read_pipe_transport, loop._make_write_pipe_transport:
        with pytest.raises(RuntimeError, match="closed"):
            make(pipe[0], asyncio.Protocol())
    assert not pipe[0].closed


# What they are


def test_isinstance_and_repr(run, pipe):
    async def main():
        (into, reader), (out, writer) = await reading(pipe[0]), await writing(pipe[1])
        assert isinstance(into, asyncio.ReadTransport)
        assert not isinstance(into, asyncio.WriteTransport)
        assert isinstance(out, asyncio.WriteTransport)
        # As asyncio's, though it cannot be read.
        assert isinstance(out, asyncio.Transport)
        assert f"fd={pipe[0].fileno()} polling" in repr(into)
        assert f"fd={pipe[1].fileno()} idle bufsize=0" in repr(out)
        out.write(bytes(BIG))
        assert "polling bufsize=" in repr(out)
        out.abort()
        assert "closing" in repr(out)
        await asyncio.gather(reader.lost, writer.lost)
        await turns()
        assert "closed" in repr(into) and "closed" in repr(out)

    run(main())


def test_debug_mode_logs_what_becomes_of_a_pipe(run, pipe, caplog):
    async def main():
        transport, protocol = await reading(pipe[0])
        transport.pause_reading()
        transport.resume_reading()
        pipe[1].close()
        await protocol.lost

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main(), debug=True)
    for text in "connected", "pauses reading", "resumes reading", "was closed by peer":
        assert text in caplog.text
