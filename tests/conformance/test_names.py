"""Looking up names and addresses."""

from __future__ import annotations

import asyncio
import logging
import socket
from unittest import mock

import pytest

HINTS = {"type": socket.SOCK_STREAM}


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("127.0.0.1", 80, {}),
        ("127.0.0.1", "80", {}),
        ("127.0.0.1", b"80", {}),
        (b"127.0.0.1", 80, {}),
        ("127.0.0.1", None, {}),
        ("::1", 80, {}),
        ("::1%lo", 80, {}),
        ("fe80::1%1", 80, {}),
        ("127.0.0.1", 80, HINTS),
        ("127.0.0.1", 80, {"type": socket.SOCK_DGRAM, "proto": socket.IPPROTO_UDP}),
        ("127.0.0.1", 80, {"family": socket.AF_INET}),
        ("127.0.0.1", 0, {"flags": socket.AI_PASSIVE}),
        (None, 80, {"flags": socket.AI_PASSIVE}),
        (None, 80, HINTS),
        ("0.0.0.0", 8080, HINTS),
        ("localhost", 80, HINTS),
        ("localhost", "http", HINTS),
        ("127.1", 80, HINTS),
        ("2130706433", 80, HINTS),
        ("", 80, HINTS),
        (b"localhost", 80, HINTS),
        ("127.0.0.1", "http", HINTS),
    ],
)
def test_answers_are_those_of_the_socket_module(run, host, port, options):
    expected = problem = None
    try:
        expected = socket.getaddrinfo(host, port, **options)
    except OSError as failure:
        problem = type(failure), failure.errno

    async def main():
        loop = asyncio.get_running_loop()
        if problem is None:
            assert await loop.getaddrinfo(host, port, **options) == expected
        else:
            with pytest.raises(problem[0]) as info:
                await loop.getaddrinfo(host, port, **options)
            assert info.value.errno == problem[1]

    run(main())


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("127.0.0.1", 80, {"family": socket.AF_INET6}),
        ("::1", 80, {"family": socket.AF_INET}),
        ("nowhere.invalid", 80, {}),
        ("127.0.0.1", "no-such-service", {}),
        ("127.0.0.1", 80, {"family": 9999}),
        ("127.0.0.1", 80, {"type": 9999}),
        ("127.0.0.1", 80, {"flags": 1 << 30}),
        (None, None, {}),
    ],
)
def test_failures_are_those_of_the_socket_module(run, host, port, options):
    with pytest.raises(OSError) as info:
        socket.getaddrinfo(host, port, **options)

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(type(info.value)) as got:
            await loop.getaddrinfo(host, port, **options)
        assert got.value.args == info.value.args

    run(main())


@pytest.mark.parametrize(("host", "port"), [(1, 80), ("127.0.0.1", 1.5), ([], 80), ("a\0b", 80)])
def test_what_is_no_name(run, host, port):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises((TypeError, OSError, ValueError)):
            await loop.getaddrinfo(host, port)

    run(main())


def test_numeric_addresses_need_no_thread(run, loop_kind):
    async def main():
        loop = asyncio.get_running_loop()
        if loop_kind == "asyncio":
            return
        with mock.patch.object(loop, "run_in_executor") as thread:
            for host in ("127.0.0.1", "::1", None, b"10.0.0.1"):
                assert await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
            flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            assert await loop.getnameinfo(("127.0.0.1", 80), flags) == ("127.0.0.1", "80")
        assert not thread.called

    run(main())


def test_names_need_one(run):
    async def main():
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, "run_in_executor", side_effect=loop.run_in_executor) as thread:
            await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        assert thread.called

    run(main())


def test_the_function_of_the_socket_module_is_asked(run):
    """Programs replace it, for instance to forbid look-ups in tests."""

    async def main():
        loop = asyncio.get_running_loop()
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.2.3.4", 80))]
        with mock.patch("socket.getaddrinfo", return_value=answer) as asked:
            assert await loop.getaddrinfo("example.com", 80, type=socket.SOCK_STREAM) == answer
        assert asked.call_args.args[:2] == ("example.com", 80)

    run(main())


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("127.0.0.1", 80), 0),
        (("::1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 53), socket.NI_NUMERICHOST | socket.NI_DGRAM),
    ],
)
def test_names_of_addresses(run, address, flags):
    expected = socket.getnameinfo(address, flags)

    async def main():
        assert await asyncio.get_running_loop().getnameinfo(address, flags) == expected

    run(main())


@pytest.mark.parametrize("address", [None, 1, (), ("127.0.0.1",), ("127.0.0.1", "x"), "127.0.0.1"])
@pytest.mark.parametrize("flags", [0, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV])
def test_what_is_no_address(run, address, flags):
    with pytest.raises(Exception) as info:
        socket.getnameinfo(address, flags)

    async def main():
        with pytest.raises(type(info.value)):
            await asyncio.get_running_loop().getnameinfo(address, flags)

    run(main())


def test_debug_mode_logs_look_ups(run, caplog):
    async def main():
        with caplog.at_level(logging.DEBUG, "asyncio"):
            await asyncio.get_running_loop().getaddrinfo(
                "127.0.0.1", 80, family=socket.AF_INET, type=socket.SOCK_STREAM
            )

    run(main(), debug=True)
    assert "Get address info 127.0.0.1:80" in caplog.text
    assert "Getting address info 127.0.0.1:80" in caplog.text


def test_cancelled_look_ups(run):
    async def main():
        import threading

        loop = asyncio.get_running_loop()
        gate = threading.Event()

        def slow(*args):
            gate.wait(10)
            return []

        with mock.patch("socket.getaddrinfo", slow):
            task = asyncio.create_task(loop.getaddrinfo("example.com", 80))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()

    run(main())
