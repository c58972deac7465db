"""Connections that are treated badly at random: whatever happens, both ends are told once, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket

import pytest
from peers import attach, tcp_pair, unix_pair


class Oops(Exception):
    pass


class Wild(asyncio.Protocol):
    """Does something unexpected in each callback, and checks the order in which it is called."""

    def __init__(self, rng: random.Random, others: list[Wild]):
        self.rng = rng
        self.others = others
        self.transport = None
        self.made = 0
        self.eofs = 0
        self.lost = asyncio.get_running_loop().create_future()
        self.paused = False
        self.sent = bytearray()
        self.data = bytearray()
        self.ended = False

    def act(self):
        """One thing that a program may do, mostly to this transport, sometimes to another one."""
        wild = self if self.rng.random() < 0.8 else self.rng.choice(self.others)
        transport = wild.transport
        if transport is None:
            return
        choice = self.rng.randrange(40)
        if choice < 20:
            data = self.rng.randbytes(self.rng.choice([1, 10, 1000, 30_000, 200_000]))
            if not wild.ended and not transport.is_closing():
                # First, for the write may call pause_writing, which may write.
                wild.sent += data
                transport.write(self.rng.choice([bytes, bytearray, memoryview])(data))
        elif choice < 24:
            transport.pause_reading()
        elif choice < 30:
            transport.resume_reading()
        elif choice == 30:
            transport.close()
        elif choice == 31:
            transport.abort()
        elif choice == 32 and not transport.is_closing():
            wild.ended = True
            try:
                transport.write_eof()
            except OSError:
                # The peer is gone.
                pass
        elif choice == 33:
            transport.set_write_buffer_limits(high=self.rng.choice([0, 10, 100_000]))
        elif choice == 34:
            assert transport.get_write_buffer_size() >= 0
        elif choice == 35:
            assert repr(transport)
        elif choice == 36:
            assert transport.get_extra_info("socket") is not None
        elif choice == 37:
            transport.set_protocol(wild)
        elif choice == 38:
            gc.collect(0)
        elif choice == 39 and self.rng.random() < 0.5:
            raise Oops

    def connection_made(self, transport):
        assert not self.made and not self.lost.done()
        self.made += 1
        self.transport = transport
        self.act()

    def data_received(self, data):
        assert data and self.made and not self.lost.done() and not self.eofs
        self.data += data
        self.act()

    def eof_received(self):
        assert self.made and not self.lost.done()
        self.eofs += 1
        self.act()
        return self.rng.random() < 0.5

    def pause_writing(self):
        assert not self.paused and not self.lost.done()
        self.paused = True
        if self.rng.random() < 0.1:
            self.act()

    def resume_writing(self):
        assert self.paused and not self.lost.done()
        self.paused = False
        if self.rng.random() < 0.1:
            self.act()

    def connection_lost(self, exc):
        assert self.made and not self.lost.done()
        self.lost.set_result(exc)
        for _ in range(3):
            if not self.ended:
                self.transport.write(b"too late")
            self.act()


@pytest.mark.parametrize("seed", range(12))
def test_each_connection_is_lost_once_and_its_bytes_arrive_in_order(run, reports, loop_kind, seed):
    rng = random.Random(seed)

    async def main():
        wilds = []
        pairs = []
        for _ in range(15):
            sockets = rng.choice([tcp_pair, unix_pair])()
            ends = [Wild(rng, wilds), Wild(rng, wilds)]
            wilds.extend(ends)
            pairs.append(ends)
            for sock, end in zip(sockets, ends, strict=True):
                await attach(sock, end)
        for _ in range(300):
            wild = rng.choice(wilds)
            try:
                wild.act()
            except Oops:
                pass
            if rng.random() < 0.5:
                await asyncio.sleep(0)
            if rng.random() < 0.02:
                # The connection breaks under it.
                with contextlib.suppress(OSError):
                    wild.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        for wild in wilds:
            wild.transport.abort()
        await asyncio.gather(*[wild.lost for wild in wilds])
        await asyncio.sleep(0)
        for one, other in (*pairs, *[reversed(pair) for pair in pairs]):
            assert one.made == other.made == 1
            # What arrived is the beginning of what was sent.
            assert other.sent.startswith(one.data), (len(one.data), len(other.sent))
        for wild in wilds:
            assert wild.transport.get_extra_info("socket").fileno() == -1

    if loop_kind == "asyncio":
        pytest.skip("asyncio's transport tells of a loss twice if it is closed as it resumes")
    run(main())
    wrong = [c for c in reports if not isinstance(c["exception"], Oops)]
    assert not wrong
