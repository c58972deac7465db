"""Waiting for descriptors, where programs go wrong with them."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

import boros


@pytest.mark.parametrize("number", [2**31, 2**40, 2**100])
def test_a_number_too_large_for_a_descriptor(loop, number):
    with pytest.raises(OverflowError):
        loop.add_reader(number, print)
    with pytest.raises(OverflowError):
        loop.add_writer(number, print)


@pytest.mark.parametrize("number", [-1, -(2**31), -(2**100)])
def test_a_negative_number(loop, number):
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        loop.add_reader(number, print)
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        loop.remove_reader(number)


def test_a_number_that_was_closed_and_given_out_again():
    """The reader of the new socket is called, though the old one was never taken back."""
    loop = boros.new_event_loop()
    seen = []
    old, other = socket.socketpair()
    number = old.fileno()
    loop.add_reader(number, seen.append, "old")
    old.close()
    left, right = socket.socketpair()
    with other, left, right:
        new, sender = (left, right) if left.fileno() == number else (right, left)
        assert new.fileno() == number
        loop.add_reader(number, lambda: seen.append(new.recv(1)))
        sender.send(b"x")
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.remove_reader(number)
    loop.close()
    assert seen == [b"x"]


def test_a_callback_that_removes_its_reader_and_closes_the_descriptor(loop):
    seen = []
    reader, writer = os.pipe()

    def readable():
        seen.append(os.read(reader, 10))
        assert loop.remove_reader(reader) is True
        os.close(reader)
        loop.stop()

    loop.add_reader(reader, readable)
    os.write(writer, b"x")
    loop.run_forever()
    os.close(writer)
    assert seen == [b"x"]


def test_a_callback_that_removes_another_reader_of_the_same_turn(loop):
    """What was ready, but was taken back in time, is not called."""
    seen = []
    pairs = [socket.socketpair() for _ in range(2)]

    def readable(mine, others):
        seen.append(mine)
        loop.remove_reader(pairs[others][0])
        loop.remove_reader(pairs[mine][0])

    for mine, others in ((0, 1), (1, 0)):
        loop.add_reader(pairs[mine][0], readable, mine, others)
        pairs[mine][1].send(b"x")
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    for pair in pairs:
        for sock in pair:
            sock.close()
    assert len(seen) == 1


def test_readers_see_the_end_and_the_hang_up(loop):
    seen = []
    left, right = socket.socketpair()
    with left:
        loop.add_reader(left, lambda: (seen.append(left.recv(1)), loop.remove_reader(left)))
        loop.add_writer(left, lambda: (seen.append("writable"), loop.remove_writer(left)))
        right.close()
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
    assert sorted(map(str, seen)) == ["b''", "writable"]


def test_the_handle_of_a_reader_can_be_cancelled_by_replacing_it(loop):
    seen = []
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, seen.append, "old")
        right.send(b"x")
        loop.call_soon(
            loop.add_reader, left, lambda: (seen.append("new"), loop.remove_reader(left))
        )
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
    assert seen[-1] == "new" and seen.count("old") <= 1


def test_waiting_for_many_descriptors(loop):
    count = 200
    pairs = [socket.socketpair() for _ in range(count)]
    seen = []

    async def main():
        for number, (left, _) in enumerate(pairs):
            loop.add_reader(left, seen.append, number)
        for _, right in reversed(pairs):
            right.send(b"x")
        await asyncio.sleep(0.01)
        for left, _ in pairs:
            assert loop.remove_reader(left)

    loop.run_until_complete(main())
    for pair in pairs:
        for sock in pair:
            sock.close()
    assert set(seen) == set(range(count))
