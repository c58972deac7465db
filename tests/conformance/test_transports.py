"""Stream transports: what a protocol is told, and what becomes of the bytes, on both loops."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import hashlib
import logging
import os
import random
import select
import socket
import struct
import warnings
import weakref

import pytest
from peers import Recorder, attach, tcp_pair

import boros

BIG = 3_000_000


async def turns(count=3):
    """Let the loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


def recv_all(sock, size):
    """What comes on a blocking socket, up to ``size`` bytes or the end."""
    sock.settimeout(5)
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            break
        data += part
    return bytes(data)


def reset(sock):
    """Close a TCP socket so that the peer's connection breaks."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# The order of things


def test_the_protocol_is_told_of_the_connection_before_the_waiter_is_set(run, pair):
    async def main():
        left, right = pair()
        right.send(b"early")
        protocol = Recorder()
        waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(lambda _: protocol.calls.append("waiter"))
        left.setblocking(False)
        transport = asyncio.get_running_loop()._make_socket_transport(left, protocol, waiter)
        assert protocol.calls == []
        await waiter
        await protocol.has(5)
        right.close()
        await protocol.lost
        assert protocol.calls == ["made", "waiter", "data", "eof", "lost"]
        assert protocol.transport is transport

    run(main())


def test_a_cancelled_waiter_is_left_alone(run, pair):
    async def main():
        left, _ = pair()
        left.setblocking(False)
        protocol = Recorder()
        waiter = asyncio.get_running_loop().create_future()
        transport = asyncio.get_running_loop()._make_socket_transport(left, protocol, waiter)
        waiter.cancel()
        await turns()
        assert protocol.calls == ["made"]
        transport.close()
        await protocol.lost

    run(main())


def test_what_is_written_arrives_in_order(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.write(b"one ")
        transport.write(bytearray(b"two "))
        transport.write(memoryview(b"_three _")[1:-1])
        transport.write(b"")
        transport.writelines([b"four ", memoryview(b"five "), bytearray(b"six")])
        transport.writelines([])
        transport.close()
        await protocol.lost
        assert recv_all(right, 100) == b"one two three four five six"

    run(main())


def test_the_program_may_change_its_buffer_after_it_was_written(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        data = bytearray(b"first")
        transport.write(data)
        transport.close()
        await protocol.lost
        data[:] = b"other"
        assert recv_all(right, 100) == b"first"

    run(main())


@pytest.mark.parametrize("data", ["text", None, 7, [b"x"]])
def test_only_bytes_can_be_written(run, pair, data):
    async def main():
        left, _ = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        with pytest.raises(TypeError, match="data argument must be a bytes-like object, not"):
            transport.write(data)
        with pytest.raises(TypeError):
            transport.writelines([b"fine", data, "text"])
        transport.abort()
        await protocol.lost

    run(main())


def test_a_buffer_with_holes_ends_the_connection(run, pair, reports):
    async def main():
        left, _ = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.write(memoryview(b"abcdef")[::2])
        assert isinstance(await protocol.lost, BufferError)
        [context] = reports
        assert context["message"] == "Fatal write error on socket transport"
        assert context["transport"] is transport
        assert context["protocol"] is protocol

    run(main())


def test_a_write_outside_of_the_running_loop_leaves_at_once(loop, pair):
    left, right = pair()

    async def connect():
        protocol = Recorder()
        return protocol, await attach(left, protocol)

    protocol, transport = loop.run_until_complete(connect())
    transport.write(b"now")
    assert recv_all(right, 3) == b"now"
    transport.close()
    loop.run_until_complete(protocol.lost)


# Ends


def test_close_sends_what_is_buffered_first(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        data = random.Random(1).randbytes(BIG)
        transport.write(data)
        assert transport.get_write_buffer_size() > 0
        transport.close()
        assert transport.is_closing()
        transport.close()
        assert "lost" not in protocol.calls
        got = await asyncio.to_thread(recv_all, right, BIG + 1)
        assert got == data
        assert await protocol.lost is None
        assert protocol.calls.count("lost") == 1

    run(main())


def test_the_loss_is_told_in_a_later_turn(run, pair):
    async def main():
        left, _ = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.close()
        assert protocol.calls == ["made"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert protocol.calls == ["made", "lost"]
        assert transport.get_protocol() is None
        for call in (transport.close, transport.abort, transport.pause_reading):
            call()
        transport.resume_reading()
        assert not transport.is_reading()
        await turns()
        assert protocol.calls == ["made", "lost"]

    run(main())


def test_abort_drops_what_the_kernel_has_not_taken(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.write(b"x" * BIG)
        transport.abort()
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        got = await asyncio.to_thread(recv_all, right, BIG)
        assert 0 < len(got) < BIG

    run(main())


def test_what_the_kernel_takes_is_sent_before_an_abort(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.write(b"last words")
        transport.abort()
        await protocol.lost
        assert recv_all(right, 100) == b"last words"

    run(main())


def test_writing_can_end_while_reading_goes_on(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        assert transport.can_write_eof()
        transport.write(b"question")
        transport.write_eof()
        transport.write_eof()
        for write in (transport.write, lambda data: transport.writelines([data])):
            with pytest.raises(RuntimeError, match="after write_eof"):
                write(b"more")
        assert recv_all(right, 100) == b"question"
        right.sendall(b"answer")
        await protocol.has(6)
        assert not transport.is_closing()
        right.close()
        assert await protocol.lost is None
        assert protocol.data == b"answer"

    run(main())


def test_the_end_of_writing_waits_for_what_is_buffered(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        data = random.Random(2).randbytes(BIG)
        transport.write(data)
        transport.write_eof()
        assert await asyncio.to_thread(recv_all, right, BIG + 1) == data
        right.sendall(b"thanks")
        await protocol.has(6)
        transport.close()
        await protocol.lost

    run(main())


def test_last_words_that_are_written_while_closing_are_sent(run, pair):
    class HasLastWords(Recorder):
        def resume_writing(self):
            self.transport.write(b"last words")
            super().resume_writing()

    async def main():
        left, right = pair()
        protocol = HasLastWords()
        transport = await attach(left, protocol)
        transport.write(bytes(BIG))
        assert protocol.paused.is_set()
        transport.close()
        loop = asyncio.get_running_loop()
        receiving = loop.run_in_executor(None, recv_all, right, BIG + 100)
        assert await protocol.lost is None
        assert (await receiving)[BIG:] == b"last words"
        await loop.shutdown_default_executor()

    run(main())


def test_reading_can_end_while_writing_goes_on(run, pair):
    class Patient(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        left, right = pair()
        protocol = Patient()
        transport = await attach(left, protocol)
        right.sendall(b"question")
        right.shutdown(socket.SHUT_WR)
        await protocol.eof
        await turns()
        assert not transport.is_closing()
        transport.write(b"answer")
        transport.close()
        await protocol.lost
        assert recv_all(right, 100) == b"answer"
        assert protocol.calls == ["made", "data", "eof", "lost"]

    run(main())


# Backpressure


def test_no_byte_is_lost_between_a_fast_writer_and_a_slow_reader(run, pair):
    class Slow(Recorder):
        """Pauses after each read, for a turn."""

        def __init__(self):
            super().__init__()
            self.hash = hashlib.sha256()
            self.size = 0

        def data_received(self, data):
            self.hash.update(data)
            self.size += len(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main():
        left, right = pair()
        writer, reader = Recorder(), Slow()
        transport = await attach(left, writer)
        await attach(right, reader)
        rng = random.Random(3)
        expected = hashlib.sha256()
        total = 0
        while total < 8_000_000:
            data = rng.randbytes(rng.choice([1, 100, 5_000, 70_000, 300_000]))
            kind = rng.choice([bytes, bytearray, memoryview])
            transport.write(kind(data))
            expected.update(data)
            total += len(data)
            if rng.random() < 0.1:
                await asyncio.sleep(0)
            if writer.calls[-1] == "pause":
                assert transport.get_write_buffer_size() > 64 * 1024
                writer.resumed.clear()
                await writer.resumed.wait()
                assert transport.get_write_buffer_size() <= 16 * 1024
        transport.close()
        assert await writer.lost is None
        assert await reader.lost is None
        assert reader.size == total
        assert reader.hash.digest() == expected.digest()
        turns_of = [call for call in writer.calls if call in ("pause", "resume")]
        assert turns_of[:2] == ["pause", "resume"]
        assert all(a != b for a, b in zip(turns_of, turns_of[1:], strict=False))

    run(main())


def test_pausing_is_told_during_the_write_that_fills_the_buffer(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        while "pause" not in protocol.calls:
            before = transport.get_write_buffer_size()
            transport.write(b"x" * 10_000)
            after = transport.get_write_buffer_size()
            assert (after > 64 * 1024) == ("pause" in protocol.calls)
        assert before <= 64 * 1024 < after
        transport.write(b"x")
        assert protocol.calls == ["made", "pause"]
        transport.abort()
        await protocol.lost

    run(main())


def test_limits_are_checked_and_kept(run, pair):
    async def main():
        left, _ = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        transport.set_write_buffer_limits(high=7, low=7)
        assert transport.get_write_buffer_limits() == (7, 7)
        for limits in ({"high": 1, "low": 2}, {"high": -1}, {"high": 5, "low": -1}, {"low": -4}):
            with pytest.raises(ValueError, match=r"must be >= low \(.*\) must be >= 0"):
                transport.set_write_buffer_limits(**limits)
        assert transport.get_write_buffer_limits() == (7, 7)
        transport.set_write_buffer_limits(high=0)
        transport.write(b"taken by the kernel")
        assert protocol.calls == ["made"]
        transport.set_write_buffer_limits()
        transport.close()
        await protocol.lost

    run(main())


def test_a_lower_limit_pauses_at_once(run, pair):
    async def main():
        left, _ = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.set_write_buffer_limits(high=100_000_000)
        transport.write(b"x" * BIG)
        assert protocol.calls == ["made"]
        transport.set_write_buffer_limits(high=10)
        assert protocol.calls == ["made", "pause"]
        transport.abort()
        await protocol.lost

    run(main())


def test_reading_can_be_paused(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        right.sendall(b"x")
        await asyncio.sleep(0.02)
        assert not protocol.data
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await protocol.has(1)
        transport.close()
        await protocol.lost

    run(main())


def test_a_protocol_that_pauses_when_it_is_made_reads_nothing(run, pair):
    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        left, right = pair()
        right.sendall(b"x")
        protocol = Shy()
        transport = await attach(left, protocol)
        await asyncio.sleep(0.02)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        await protocol.has(1)
        transport.close()
        await protocol.lost

    run(main())


# Broken connections


def test_a_reset_ends_the_connection_with_its_error(run):
    async def main():
        left, right = tcp_pair()
        protocol = Recorder()
        await attach(left, protocol)
        reset(right)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.lost.result().errno == errno.ECONNRESET
        assert protocol.calls == ["made", "lost"]

    run(main())


def test_a_peer_that_vanishes_in_the_middle_of_a_write(run):
    async def main():
        left, right = tcp_pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.pause_reading()
        transport.write(b"x" * BIG)
        assert transport.get_write_buffer_size() > 0
        reset(right)
        exc = await protocol.lost
        assert isinstance(exc, (ConnectionResetError, BrokenPipeError))
        assert transport.get_write_buffer_size() == 0

    run(main())


def test_writes_to_a_lost_connection_are_counted_and_warned_of(run, caplog):
    class Talker(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            for _ in range(3):
                self.transport.write(b"anybody there?")

    async def main():
        left, right = tcp_pair()
        protocol = Talker()
        transport = await attach(left, protocol)
        reset(right)
        await protocol.lost
        assert not caplog.records
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(4):
                transport.write(b"hello?")
        assert [record.message for record in caplog.records] == [
            "socket.send() raised exception."
        ] * 3

    run(main())


# Callbacks that raise


class Oops(Exception):
    pass


@pytest.mark.parametrize("callback", ["data_received", "eof_received"])
def test_a_callback_that_raises_ends_the_connection(run, pair, reports, callback):
    def fail(*args):
        raise Oops

    async def main():
        left, right = pair()
        protocol = Recorder()
        setattr(protocol, callback, fail)
        transport = await attach(left, protocol)
        right.send(b"x")
        right.close()
        assert isinstance(await protocol.lost, Oops)
        [context] = reports
        assert context["message"] == f"Fatal error: protocol.{callback}() call failed."
        assert isinstance(context["exception"], Oops)
        assert context["transport"] is transport
        assert context["protocol"] is protocol

    run(main())


def test_connection_made_that_raises_is_reported_and_the_connection_stays(run, pair, reports):
    class Faulty(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise Oops

    async def main():
        left, right = pair()
        protocol = Faulty()
        transport = await attach(left, protocol)
        [context] = reports
        assert "Exception in callback" in context["message"]
        assert "connection_made" in context["message"]
        assert isinstance(context["exception"], Oops)
        right.send(b"x")
        await protocol.has(1)
        transport.close()
        await protocol.lost

    run(main())


def test_connection_lost_that_raises_is_reported_and_the_socket_closed(run, pair, reports):
    class Faulty(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise Oops

    async def main():
        left, right = pair()
        protocol = Faulty()
        transport = await attach(left, protocol)
        transport.close()
        await protocol.lost
        await turns()
        [context] = reports
        assert "Exception in callback" in context["message"]
        assert "_call_connection_lost" in context["message"]
        assert left.fileno() == -1
        assert recv_all(right, 1) == b""

    run(main())


def test_flow_control_callbacks_that_raise_are_reported(run, pair, reports):
    class Faulty(Recorder):
        def pause_writing(self):
            super().pause_writing()
            raise Oops

        def resume_writing(self):
            super().resume_writing()
            raise Oops

    async def main():
        left, right = pair()
        protocol = Faulty()
        transport = await attach(left, protocol)
        transport.write(b"x" * BIG)
        assert len(await asyncio.to_thread(recv_all, right, BIG)) == BIG
        await protocol.resumed.wait()
        await turns()
        assert [context["message"] for context in reports] == [
            "protocol.pause_writing() failed",
            "protocol.resume_writing() failed",
        ]
        assert all(context["transport"] is transport for context in reports)
        assert not transport.is_closing()
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.parametrize(
    "callback",
    [
        "connection_made",
        "data_received",
        "eof_received",
        "pause_writing",
        "resume_writing",
        "connection_lost",
    ],
)
@pytest.mark.parametrize("how", ["close", "abort"])
def test_every_callback_may_close(run, pair, reports, loop_kind, callback, how):
    class Closing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            if callback in ("pause_writing", "resume_writing"):
                transport.write(b"y" * BIG)

    def closing(original):
        def call(*args):
            result = original(*args)
            getattr(protocol.transport, how)()
            return result

        return call

    async def main():
        nonlocal protocol
        left, right = pair()
        protocol = Closing()
        setattr(protocol, callback, closing(getattr(protocol, callback)))
        await attach(left, protocol)
        right.setblocking(False)
        if callback not in ("connection_made", "pause_writing"):
            right.send(b"x")
        if callback == "resume_writing":
            # Read until the buffer falls below its limit.
            while "resume" not in protocol.calls:
                try:
                    right.recv(100_000)
                except BlockingIOError:
                    await asyncio.sleep(0)
        elif callback != "pause_writing":
            right.shutdown(socket.SHUT_WR)
        right.settimeout(5)
        reading = asyncio.create_task(asyncio.to_thread(drain, right))
        assert await asyncio.wait_for(protocol.lost, 10) is None
        await reading
        await turns()
        assert protocol.calls.count("lost") == 1
        assert left.fileno() == -1

    def drain(sock):
        try:
            while sock.recv(1_000_000):
                pass
        except ConnectionResetError:
            pass

    protocol = None
    run(main())
    # asyncio's transport tells of the loss twice when the protocol closes as it resumes.
    assert loop_kind == "asyncio" or not reports


# KeyboardInterrupt


@pytest.mark.parametrize(
    "callback", ["connection_made", "data_received", "eof_received", "connection_lost"]
)
def test_a_keyboard_interrupt_leaves_a_loop_that_runs_on_and_closes(loop, pair, callback):
    left, right = pair()
    left.setblocking(False)
    protocol = None

    class Interrupted(Recorder):
        interrupts = 0

    def interrupting(original):
        def call(*args):
            original(*args)
            Interrupted.interrupts += 1
            if Interrupted.interrupts == 1:
                raise KeyboardInterrupt

        return call

    async def connect():
        nonlocal protocol
        protocol = Interrupted()
        setattr(protocol, callback, interrupting(getattr(protocol, callback)))
        transport = loop._make_socket_transport(left, protocol)
        right.send(b"x")
        right.shutdown(socket.SHUT_WR)
        await asyncio.sleep(10)
        return transport

    task = loop.create_task(connect())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert Interrupted.interrupts == 1
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    if not protocol.lost.done():
        protocol.transport.abort()
        loop.run_until_complete(protocol.lost)
    # Closing the descriptor follows the callback, also if that raised.
    loop.run_until_complete(turns())
    assert left.fileno() == -1


# Protocols


class Lender(asyncio.BufferedProtocol):
    """Lends a small buffer."""

    def __init__(self, size=10):
        self.buffer = bytearray(size)
        self.data = bytearray()
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        assert sizehint == -1
        return self.buffer

    def buffer_updated(self, nbytes):
        self.calls.append(nbytes)
        self.data += self.buffer[:nbytes]
        self.arrived.set()

    def connection_lost(self, exc):
        self.lost.set_result(exc)


def test_a_buffered_protocol_is_read_into(run, pair):
    async def main():
        left, right = pair()
        protocol = Lender()
        await attach(left, protocol)
        right.sendall(b"0123456789abcdef")
        right.close()
        assert await protocol.lost is None
        assert protocol.data == b"0123456789abcdef"
        assert protocol.calls == [10, 6]
        # It is the protocol's again: an export that was not released would forbid this.
        protocol.buffer.extend(b"more")

    run(main())


@pytest.mark.parametrize(
    ("callback", "answer", "message", "error"),
    [
        (
            "get_buffer",
            bytearray(),
            "Fatal error: protocol.get_buffer() call failed.",
            RuntimeError,
        ),
        ("get_buffer", None, "Fatal error: protocol.get_buffer() call failed.", TypeError),
        ("get_buffer", Oops(), "Fatal error: protocol.get_buffer() call failed.", Oops),
        (
            "get_buffer",
            b"read only",
            "Fatal read error on socket transport",
            (TypeError, BufferError),
        ),
        ("buffer_updated", Oops(), "Fatal error: protocol.buffer_updated() call failed.", Oops),
    ],
)
def test_a_buffered_protocol_that_fails(run, pair, reports, callback, answer, message, error):
    def fail(*args):
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main():
        left, right = pair()
        protocol = Lender()
        setattr(protocol, callback, fail)
        await attach(left, protocol)
        right.sendall(b"x")
        assert isinstance(await protocol.lost, error)
        [context] = reports
        assert context["message"] == message

    run(main())


def test_a_protocol_may_hand_over_to_another_in_the_middle(run, pair):
    async def main():
        left, right = pair()
        second, third = Lender(), Recorder()

        class First(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.set_protocol(second)

        class Second(Lender):
            pass

        first = First()
        transport = await attach(left, first)
        right.sendall(b"one")
        await first.has(3)
        assert transport.get_protocol() is second
        right.sendall(b"two")
        await second.arrived.wait()
        transport.set_protocol(third)
        right.sendall(b"three")
        right.close()
        assert await third.lost is None
        assert (first.data, second.data, third.data) == (b"one", b"two", b"three")
        assert not second.lost.done()
        second.lost.cancel()

    run(main())


def test_a_callback_that_is_replaced_on_the_protocol_is_the_one_called(run, pair):
    async def main():
        left, right = pair()
        protocol = Recorder()
        await attach(left, protocol)
        right.send(b"a")
        await protocol.has(1)
        other = bytearray()
        protocol.data_received = lambda data: (other.extend(data), protocol.arrived.set())
        protocol.arrived.clear()
        right.send(b"b")
        await protocol.arrived.wait()
        assert (protocol.data, other) == (b"a", b"b")
        protocol.transport.close()
        await protocol.lost

    run(main())


VARIABLE = contextvars.ContextVar("VARIABLE", default="nothing")


def test_callbacks_run_in_the_context_of_the_connections_maker(run, pair):
    class Seeing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(VARIABLE.get())
            VARIABLE.set("made")

        def data_received(self, data):
            super().data_received(data)
            seen.append(VARIABLE.get())
            VARIABLE.set("data")

        def connection_lost(self, exc):
            super().connection_lost(exc)
            seen.append(VARIABLE.get())

    async def main():
        left, right = pair()
        VARIABLE.set("maker")
        protocol = Seeing()
        transport = await attach(left, protocol)
        VARIABLE.set("later")
        right.send(b"x")
        await protocol.has(1)
        right.send(b"y")
        await protocol.has(2)
        VARIABLE.set("closer")
        transport.close()
        await protocol.lost
        assert VARIABLE.get() == "closer"

    seen = []
    run(main())
    assert seen == ["maker", "maker", "data", "closer"]


# What a transport says of itself


def test_it_is_an_asyncio_transport_and_knows_its_addresses(run):
    async def main():
        left, right = tcp_pair()
        addresses = left.getsockname(), left.getpeername()
        protocol = Recorder()
        transport = await attach(left, protocol)
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_protocol() is protocol
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.fileno() == left.fileno()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.get_extra_info("unknown") is None
        assert transport.get_extra_info("unknown", 7) == 7
        reset(right)
        await protocol.lost
        assert (
            transport.get_extra_info("sockname"),
            transport.get_extra_info("peername"),
        ) == addresses
        assert transport.get_extra_info("socket").fileno() == -1

    run(main())


def test_extra_info_of_the_maker_is_answered(run, pair):
    async def main():
        left, _ = pair()
        left.setblocking(False)
        loop = asyncio.get_running_loop()
        protocol = Recorder()
        extra = {"peername": "somebody", "key": "value"}
        transport = loop._make_socket_transport(left, protocol, extra=extra)
        assert transport.get_extra_info("peername") == "somebody"
        assert transport.get_extra_info("key") == "value"
        assert transport.get_extra_info("sockname") == left.getsockname()
        transport.close()
        await protocol.lost

    run(main())


def test_its_repr_tells_its_state(run, pair):
    async def main():
        left, _ = pair()
        fd = left.fileno()
        protocol = Recorder()
        transport = await attach(left, protocol)
        assert repr(transport).endswith(f" fd={fd} read=polling write=<idle, bufsize=0>>")
        transport.pause_reading()
        transport.write(b"x" * BIG)
        size = transport.get_write_buffer_size()
        assert repr(transport).endswith(f" fd={fd} read=idle write=<polling, bufsize={size}>>")
        transport.close()
        assert " closing fd=" in repr(transport)
        transport.abort()
        await protocol.lost
        await turns()
        assert repr(transport).endswith(f" closed fd={fd}>")

    run(main())


def test_debug_mode_logs_what_happens(run, pair, caplog):
    async def main():
        left, right = pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        with caplog.at_level(logging.DEBUG, "asyncio"):
            transport.pause_reading()
            transport.resume_reading()
            right.close()
            await protocol.lost
        texts = [record.message for record in caplog.records]
        for what in ("pauses reading", "resumes reading", "received EOF"):
            assert any(what in text for text in texts), texts

    run(main(), debug=True)


def test_its_descriptor_cannot_be_watched_by_others(run, pair):
    async def main():
        left, _ = pair()
        fd = left.fileno()
        protocol = Recorder()
        transport = await attach(left, protocol)
        loop = asyncio.get_running_loop()
        for paused in (False, True):
            if paused:
                transport.pause_reading()
            with pytest.raises(RuntimeError, match=f"File descriptor {fd} is used by transport"):
                loop._ensure_fd_no_transport(fd)
        transport.close()
        loop._ensure_fd_no_transport(fd)
        await protocol.lost

    run(main())


# Descriptors and garbage


def test_a_forgotten_transport_warns_and_closes(loop, pair):
    left, right = pair()

    async def connect():
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.pause_reading()
        protocol.transport = None
        return weakref.ref(transport)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forgotten = loop.run_until_complete(connect())
        gc.collect()
    texts = [str(w.message) for w in caught if w.category is ResourceWarning]
    assert any("unclosed transport" in text for text in texts), texts
    assert left.fileno() == -1
    assert recv_all(right, 1) == b""
    # The warning refers to it.
    caught.clear()
    gc.collect()
    assert forgotten() is None


def test_a_loop_that_closes_with_open_transports(new_loop, pair):
    left, right = pair()

    async def connect():
        protocol = Recorder()
        transport = await attach(left, protocol)
        transport.write(b"x" * BIG)
        return transport

    loop = new_loop()
    transport = loop.run_until_complete(connect())
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        transport.abort()
    assert transport.is_closing()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert any("unclosed transport" in str(w.message) for w in caught)
    assert left.fileno() == -1


def test_a_number_that_is_used_again_belongs_to_the_new_connection_alone(run, pair):
    async def main():
        numbers = []
        for index in range(20):
            left, right = pair()
            numbers.append(left.fileno())
            protocol = Recorder()
            transport = await attach(left, protocol)
            right.send(b"%d" % index)
            transport.write(b"old")
            if index % 2:
                transport.abort()
            else:
                transport.close()
            await protocol.lost
            await asyncio.sleep(0)
            again, other = pair()
            second = Recorder()
            transport2 = await attach(again, second)
            transport.write(b"not for you")
            transport.abort()
            other.send(b"new")
            await second.has(3)
            assert second.data == b"new"
            transport2.close()
            await second.lost
            assert recv_all(other, 100) == b""
            right.close()
            other.close()
        assert len(set(numbers)) < len(numbers)

    run(main())


def test_a_job_that_is_queued_for_a_closed_transport_touches_nothing(run, pair):
    """Both become readable in one turn; the first closes the second, whose number is used again."""

    async def main():
        first_left, first_right = pair()
        second_left, second_right = pair()
        second = Recorder()

        class Closer(Recorder):
            def data_received(self, data):
                super().data_received(data)
                others = [p for p in (first, second) if p is not self]
                for other in others:
                    other.transport.abort()

        first, second = Closer(), Closer()
        await attach(first_left, first)
        await attach(second_left, second)
        first_right.send(b"x")
        second_right.send(b"x")
        select.select([first_left], [], [], 5)
        select.select([second_left], [], [], 5)
        done, _ = await asyncio.wait([first.lost, second.lost], return_when="FIRST_COMPLETED")
        await turns()
        assert len(done) == 1
        assert sorted([first.calls, second.calls]) == [["made", "data"], ["made", "lost"]]
        for protocol in (first, second):
            protocol.transport.abort()
            await protocol.lost

    run(main())


def test_many_connections_come_and_go(run):
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def talk(rng):
        left, right = tcp_pair()
        await attach(left, Echo())
        client = Recorder()
        transport = await attach(right, client)
        sent = bytearray()
        for _ in range(rng.randrange(1, 10)):
            data = rng.randbytes(rng.randrange(1, 5000))
            sent += data
            transport.write(data)
            if rng.random() < 0.5:
                await client.has(len(sent))
        await client.has(len(sent))
        assert client.data == sent
        transport.close()
        await client.lost

    async def main():
        rng = random.Random(5)
        for _ in range(5):
            await asyncio.gather(*[talk(random.Random(rng.random())) for _ in range(40)])

    run(main())


# What is boros's own


def test_what_one_callback_writes_leaves_in_one_segment():
    def segments(sock):
        """How many segments with data were sent (tcpi_data_segs_out of linux/tcp.h)."""
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return struct.unpack_from("I", info, 156)[0]

    async def main():
        left, right = tcp_pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        before = segments(left)
        for _ in range(100):
            transport.write(b"ten bytes.")
        assert segments(left) == before
        await asyncio.sleep(0)
        assert segments(left) == before + 1
        assert recv_all(right, 1000) == b"ten bytes." * 100
        transport.close()
        await protocol.lost
        right.close()

    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        runner.run(main())


def test_a_socket_that_the_program_closes_stays_open_for_the_transport():
    async def main():
        left, right = tcp_pair()
        protocol = Recorder()
        transport = await attach(left, protocol)
        fd = left.fileno()
        left.close()
        # The number is not free, so that no other connection can get under this transport.
        spare = [os.dup(0) for _ in range(5)]
        assert fd not in spare
        for number in spare:
            os.close(number)
        transport.write(b"still here")
        transport.close()
        await protocol.lost
        assert recv_all(right, 100) == b"still here"
        right.close()
        with pytest.raises(OSError):
            os.fstat(fd)

    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        runner.run(main())


def test_a_number_whose_earlier_file_was_still_waited_for():
    """A program closed a file without remove_reader; the next connection gets its number."""

    async def main():
        loop = asyncio.get_running_loop()
        left, right = tcp_pair()
        called = []
        loop.add_reader(left.fileno(), called.append, "reader")
        loop.add_writer(left.fileno(), called.append, "writer")
        fd = left.fileno()
        left.close()
        again, other = tcp_pair()
        if again.fileno() != fd:
            os.dup2(again.fileno(), fd)
            again.close()
            again = socket.socket(fileno=fd)
        protocol = Recorder()
        transport = await attach(again, protocol)
        other.send(b"x")
        await protocol.has(1)
        transport.close()
        await protocol.lost
        assert called == []
        right.close()
        other.close()

    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        runner.run(main())


def test_what_is_no_protocol_is_refused(run, pair):
    async def main():
        left, _ = pair()
        left.setblocking(False)
        with pytest.raises(AttributeError, match="connection_made"):
            asyncio.get_running_loop()._make_socket_transport(left, object())

    with warnings.catch_warnings():
        # asyncio leaves a transport behind that is half made.
        warnings.simplefilter("ignore", ResourceWarning)
        run(main())
        gc.collect()
