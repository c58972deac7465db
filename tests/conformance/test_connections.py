"""Connections and servers: create_connection, create_server and their Unix counterparts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import os
import pathlib
import resource
import socket
import ssl
import stat
import sys
import tempfile

import pytest

import boros
from boros._happy_eyeballs import race

LOCAL = "127.0.0.1"


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.connected = loop.create_future()
        self.lost = loop.create_future()
        self.transport = None
        self.data = bytearray()

    def connection_made(self, transport):
        self.transport = transport
        self.connected.set_result(transport)

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@contextlib.contextmanager
def listening(*addresses, backlog=5):
    """Listening sockets of a program that does not use the loop."""
    with contextlib.ExitStack() as stack:
        socks = []
        for address in addresses or [(LOCAL, 0)]:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            sock = stack.enter_context(socket.socket(family))
            sock.bind(address)
            sock.listen(backlog)
            socks.append(sock)
        yield socks if len(socks) > 1 else socks[0]


@contextlib.contextmanager
def refusing():
    """An address that refuses connections."""
    with socket.socket() as sock:
        sock.bind((LOCAL, 0))
        yield sock.getsockname()


def names(**known):
    """A getaddrinfo that knows the addresses of these hosts."""

    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                address,
            )
            for address in known[host]
        ]

    return getaddrinfo


async def finish(transport, protocol):
    """Close a connection and wait until it is."""
    transport.close()
    await protocol.lost


@pytest.fixture
def boros_run():
    """Like ``run``, for what only boros has."""

    def run(main):
        with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory() as name:
        yield pathlib.Path(name)


# Connections to a host


@pytest.mark.parametrize("host", [LOCAL, LOCAL.encode(), "localhost"])
@pytest.mark.parametrize("convert", [int, str])
def test_a_connection_is_made(run, host, convert):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server:
            port = server.getsockname()[1]
            transport, protocol = await loop.create_connection(Recorder, host, convert(port))
            assert isinstance(transport, asyncio.Transport)
            assert protocol.transport is transport
            assert transport.get_protocol() is protocol
            assert transport.get_extra_info("peername") == (LOCAL, port)
            accepted, _ = server.accept()
            with accepted:
                transport.write(b"hello")
                await asyncio.sleep(0)
                assert accepted.recv(8) == b"hello"
                await finish(transport, protocol)
                assert protocol.lost.result() is None
                assert accepted.recv(8) == b""

    run(main())


def test_a_connected_socket_is_taken_over(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, protocol = await loop.create_connection(Recorder, sock=left)
            assert left.gettimeout() == 0
            right.send(b"hi")
            right.shutdown(socket.SHUT_WR)
            assert await protocol.lost is None
            assert protocol.data == b"hi"
            assert left.fileno() == -1

    run(main())


def test_the_next_address_is_tried(run):
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as dead, listening() as server:
            loop.getaddrinfo = names(host=[dead, server.getsockname()])
            transport, protocol = await loop.create_connection(Recorder, "host", 1)
            assert transport.get_extra_info("peername") == server.getsockname()
            await finish(transport, protocol)

    run(main())


@pytest.mark.parametrize("delay", [None, 0.01])
def test_a_refused_connection_names_the_address(run, delay):
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as address:
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.create_connection(Recorder, *address, happy_eyeballs_delay=delay)
            assert repr(address) in str(caught.value)

    run(main())


@pytest.mark.parametrize("delay", [None, 0.01])
def test_all_errors_are_told(run, delay):
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as one, refusing() as two:
            loop.getaddrinfo = names(host=[one, two])
            with pytest.raises(OSError) as caught:
                await loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=delay)
            message = str(caught.value)
            assert message.startswith("Multiple exceptions: [Errno 111] Connect call failed")
            assert repr(one) in message and repr(two) in message
            # The same twice is told once.
            loop.getaddrinfo = names(host=[one, one])
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=delay)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has it from 3.12 on")
@pytest.mark.parametrize("delay", [None, 0.01])
def test_all_errors_may_be_had_as_a_group(run, delay):
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as one, refusing() as two:
            loop.getaddrinfo = names(host=[one, two])
            with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
                await loop.create_connection(
                    Recorder, "host", 1, happy_eyeballs_delay=delay, all_errors=True
                )
            first, second = caught.value.exceptions
            assert isinstance(first, ConnectionRefusedError) and repr(one) in str(first)
            assert isinstance(second, ConnectionRefusedError) and repr(two) in str(second)

    run(main())


def test_a_name_that_nobody_knows_is_an_error(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.getaddrinfo = names()
        with pytest.raises(socket.gaierror):
            await loop.create_connection(Recorder, "host", 1)
        with pytest.raises(socket.gaierror):
            await loop.create_server(Recorder, "host", 1)

        async def nothing(*args, **options):
            return []

        loop.getaddrinfo = nothing
        with pytest.raises(OSError, match="getaddrinfo.* returned empty list"):
            await loop.create_connection(Recorder, "host", 1)
        with pytest.raises(OSError, match="getaddrinfo.'host'. returned empty list"):
            await loop.create_server(Recorder, "host", 1)

    run(main())


def test_a_numeric_address_needs_no_look_up(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.getaddrinfo = names()
        with listening() as server:
            transport, protocol = await loop.create_connection(Recorder, *server.getsockname())
            await finish(transport, protocol)
        created = await loop.create_server(Recorder, LOCAL, 0)
        created.close()
        await created.wait_closed()

    run(main())


def test_what_getaddrinfo_is_asked(run):
    async def main():
        loop = asyncio.get_running_loop()
        asked = []

        async def getaddrinfo(host, port, **options):
            asked.append((host, port, options))
            raise socket.gaierror(socket.EAI_NONAME, "not here")

        loop.getaddrinfo = getaddrinfo
        with pytest.raises(socket.gaierror):
            await loop.create_connection(
                Recorder,
                "host",
                "http",
                family=socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_ADDRCONFIG,
            )
        options = {
            "family": socket.AF_INET,
            "type": socket.SOCK_STREAM,
            "proto": socket.IPPROTO_TCP,
            "flags": socket.AI_ADDRCONFIG,
        }
        assert asked == [("host", "http", options)]

    run(main())


# Local addresses


def test_a_local_address_is_bound(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server:
            transport, protocol = await loop.create_connection(
                Recorder, *server.getsockname(), local_addr=("127.0.0.2", 0)
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
            await finish(transport, protocol)

    run(main())


def test_the_next_local_address_is_tried(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server, listening() as taken:
            loop.getaddrinfo = names(here=[("::1", 0, 0, 0), taken.getsockname(), ("127.0.0.2", 0)])
            transport, protocol = await loop.create_connection(
                Recorder, *server.getsockname(), local_addr=("here", 0)
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
            await finish(transport, protocol)

    run(main())


def test_a_local_address_that_cannot_be_had_is_named(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server, listening() as taken:
            with pytest.raises(OSError) as caught:
                await loop.create_connection(
                    Recorder, *server.getsockname(), local_addr=taken.getsockname()
                )
            assert caught.value.errno == errno.EADDRINUSE
            message = str(caught.value)
            assert f"error while attempting to bind on address {taken.getsockname()!r}" in message
            assert "address already in use" in message

            loop.getaddrinfo = names(here=[("::1", 0, 0, 0)])
            with pytest.raises(OSError, match="no matching local address with family=.* found"):
                await loop.create_connection(
                    Recorder, *server.getsockname(), local_addr=("here", 0)
                )

    run(main())


@pytest.mark.parametrize("case", ["one", "two", "happy eyeballs", "local address", "port in use"])
def test_an_error_is_gone_when_it_is_handled(boros_run, case):
    # Exceptions that refer to themselves keep sockets, buffers and the caller's variables alive.
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as one, refusing() as two, listening() as taken:
            loop.getaddrinfo = names(host=[one, two])
            connect = functools.partial(loop.create_connection, Recorder)
            attempt = {
                "one": lambda: connect(*one),
                "two": lambda: connect("host", 1),
                "happy eyeballs": lambda: connect("host", 1, happy_eyeballs_delay=0.01),
                "local address": lambda: connect(*one, local_addr=taken.getsockname()),
                "port in use": lambda: loop.create_server(Recorder, *taken.getsockname()),
            }[case]
            gc.collect()
            gc.disable()
            try:
                with contextlib.suppress(OSError):
                    await attempt()
                await asyncio.sleep(0)
                assert gc.collect() == 0
            finally:
                gc.enable()

    boros_run(main())


@contextlib.contextmanager
def no_more_files():
    """Let this process open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as file:
        lowest = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_there_is_no_connection(run, loop_kind, directory):
    async def main():
        loop = asyncio.get_running_loop()
        path = directory / "sock"
        attempts = [
            lambda: loop.create_connection(Recorder, LOCAL, 1),
            lambda: loop.create_unix_connection(Recorder, path),
            lambda: loop.create_unix_server(Recorder, path),
        ]
        if loop_kind == "boros":
            # asyncio says that it could not bind, with no reason.
            attempts.append(lambda: loop.create_server(Recorder, LOCAL, 0))
        for attempt in attempts:
            with no_more_files(), pytest.raises(OSError) as caught:
                await attempt()
            assert caught.value.errno == errno.EMFILE
        assert not path.exists()

    run(main())


# Happy eyeballs


@contextlib.contextmanager
def silent():
    """An address that answers nobody: the backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listening(backlog=0))
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(server.getsockname())
        yield server.getsockname()


def test_a_silent_address_has_a_head_start_only(run):
    async def main():
        loop = asyncio.get_running_loop()
        with silent() as address, listening() as server:
            loop.getaddrinfo = names(host=[address, server.getsockname()])
            transport, protocol = await loop.create_connection(
                Recorder, "host", 1, happy_eyeballs_delay=0.01
            )
            assert transport.get_extra_info("peername") == server.getsockname()
            await finish(transport, protocol)

    run(main())


def test_a_refusal_starts_the_next_attempt_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        with refusing() as address, listening() as server:
            loop.getaddrinfo = names(host=[address, server.getsockname()])
            async with asyncio.timeout(10):
                transport, protocol = await loop.create_connection(
                    Recorder, "host", 1, happy_eyeballs_delay=1000
                )
            await finish(transport, protocol)

    run(main())


def test_families_take_turns(run):
    async def main():
        loop = asyncio.get_running_loop()
        tried = []

        async def sock_connect(sock, address):
            tried.append(address[0])
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")

        loop.sock_connect = sock_connect
        addresses = [("::1", 1, 0, 0), ("::2", 1, 0, 0), ("::3", 1, 0, 0)]
        addresses += [("127.0.0.1", 1), ("127.0.0.2", 1)]
        loop.getaddrinfo = names(host=addresses)
        for options, expected in [
            ({}, "::1 ::2 ::3 127.0.0.1 127.0.0.2"),
            ({"interleave": 1}, "::1 127.0.0.1 ::2 127.0.0.2 ::3"),
            ({"interleave": 2}, "::1 ::2 127.0.0.1 ::3 127.0.0.2"),
            ({"happy_eyeballs_delay": 10}, "::1 127.0.0.1 ::2 127.0.0.2 ::3"),
            ({"happy_eyeballs_delay": 10, "interleave": 0}, "::1 ::2 ::3 127.0.0.1 127.0.0.2"),
        ]:
            tried.clear()
            with pytest.raises(OSError):
                await loop.create_connection(Recorder, "host", 1, **options)
            assert tried == expected.split()

    run(main())


@pytest.mark.parametrize("delay", [None, 0.001])
@pytest.mark.parametrize("moment", range(12))
def test_a_cancelled_connection_leaves_no_socket(run, loop_kind, delay, moment):
    if loop_kind == "asyncio" and delay is not None:
        pytest.skip("asyncio leaves tasks and may leave a socket")

    async def main():
        loop = asyncio.get_running_loop()
        with listening() as one, listening() as two:
            loop.getaddrinfo = names(host=[one.getsockname(), two.getsockname()])
            task = asyncio.create_task(
                loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=delay)
            )
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            try:
                transport, protocol = await task
            except asyncio.CancelledError:
                # Closing takes a turn.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            else:
                await finish(transport, protocol)

    run(main())


class Attempts:
    """Attempts to connect that all succeed at the same moment."""

    def __init__(self):
        self.ready = asyncio.get_running_loop().create_future()
        self.tasks = []
        self.socks = []

    async def connect(self, name):
        self.tasks.append(asyncio.current_task())
        await self.ready
        self.socks.append(socket.socket())
        return self.socks[-1]

    async def start(self, count):
        """Let ``count`` attempts begin, and return the race."""
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(race(loop, self.connect, range(count), 0))
        while len(self.tasks) < count:
            await asyncio.sleep(0)
        return task

    def open(self):
        return [sock for sock in self.socks if sock.fileno() != -1]


def test_of_connections_made_at_once_one_stays(boros_run):
    async def main():
        attempts = Attempts()
        task = await attempts.start(3)
        attempts.ready.set_result(None)
        with await task as winner:
            assert len(attempts.socks) == 3
            assert attempts.open() == [winner]
            assert all(attempt.done() for attempt in attempts.tasks)

    boros_run(main())


@pytest.mark.parametrize("moment", range(4))
def test_of_connections_that_nobody_waits_for_none_stays(boros_run, moment):
    async def main():
        attempts = Attempts()
        task = await attempts.start(3)
        attempts.ready.set_result(None)
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        try:
            (await task).close()
        except asyncio.CancelledError:
            assert moment < 3
        assert not attempts.open()
        assert all(attempt.done() for attempt in attempts.tasks)

    boros_run(main())


def test_a_race_that_is_cancelled_twice_leaves_no_socket(boros_run):
    async def main():
        loop = asyncio.get_running_loop()
        stubborn = loop.create_future()
        sock = socket.socket()

        async def connect(name):
            try:
                await stubborn
            except asyncio.CancelledError:
                # Too late to be stopped.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                return sock

        task = asyncio.create_task(race(loop, connect, "a", 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(4):
            await asyncio.sleep(0)
        assert sock.fileno() == -1

    boros_run(main())


def test_a_mistake_ends_the_race(boros_run):
    async def main():
        loop = asyncio.get_running_loop()
        tasks = []

        async def connect(name):
            tasks.append(asyncio.current_task())
            if name == "a":
                await loop.create_future()
            raise ArithmeticError(name)

        with pytest.raises(ArithmeticError, match="b"):
            await race(loop, connect, "abc", 0)
        assert len(tasks) == 2
        assert all(task.done() for task in tasks)

    boros_run(main())


# What the protocol factory does wrong


def broken_factory():
    raise ArithmeticError("no protocol")


def test_a_factory_that_raises_leaves_no_connection(run, loop_kind, directory):
    if loop_kind == "asyncio":
        pytest.skip("asyncio leaves the socket to the garbage collector")

    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server:
            with pytest.raises(ArithmeticError):
                await loop.create_connection(broken_factory, *server.getsockname())
        path = directory / "sock"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            with pytest.raises(ArithmeticError):
                await loop.create_unix_connection(broken_factory, path)

    run(main())


def test_a_socket_that_was_passed_stays_the_callers_until_there_is_a_transport(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            with pytest.raises(ArithmeticError):
                await loop.create_connection(broken_factory, sock=left)
            with pytest.raises(ArithmeticError):
                await loop.connect_accepted_socket(broken_factory, left)
            left.send(b"still here")
            assert right.recv(16) == b"still here"

    run(main())


def test_a_descriptor_belongs_to_its_transport(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        right.setblocking(False)
        with right:
            transport, protocol = await loop.create_connection(Recorder, sock=left)
            fd = left.fileno()
            for method in (loop.add_reader, loop.add_writer):
                with pytest.raises(
                    RuntimeError, match=f"File descriptor {fd} is used by transport"
                ):
                    method(fd, print)
            for method in (loop.remove_reader, loop.remove_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    method(left)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.sock_recv(left, 8)
            await finish(transport, protocol)
            # The number is free again.
            loop.add_reader(right, print)
            assert loop.remove_reader(right)

    run(main())


def test_a_socket_has_one_transport(run, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("asyncio checks it from 3.12 on")

    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, protocol = await loop.create_connection(Recorder, sock=left)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.create_connection(Recorder, sock=left)
            right.send(b"x")
            right.shutdown(socket.SHUT_WR)
            await protocol.lost
            assert protocol.data == b"x"

    run(main())


# Arguments that contradict each other


def fails(error, message, **arguments):
    return pytest.param(error, message, arguments, id=message.replace(" ", "-")[:40])


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        fails(ValueError, "server_hostname is only meaningful with ssl", server_hostname="x"),
        fails(ValueError, "You must set server_hostname when using ssl without a host", ssl=True),
        fails(ValueError, "ssl_handshake_timeout is only meaningful", ssl_handshake_timeout=1),
        fails(ValueError, "ssl_shutdown_timeout is only meaningful", ssl_shutdown_timeout=1),
        fails(ValueError, "host and port was not specified and no sock specified"),
        fails(ValueError, "host/port and sock can not be specified", host="x", sock="STREAM"),
        fails(ValueError, "host/port and sock can not be specified", port=1, sock="STREAM"),
        fails(ValueError, "A Stream Socket was expected", sock="DGRAM"),
        fails(TypeError, "Socket cannot be of type SSLSocket", sock="TLS"),
        fails(OverflowError, "port must be 0-65535", host=LOCAL, port=65536),
    ],
)
def test_arguments_of_create_connection(run, error, message, arguments):
    check_arguments(run, "create_connection", error, message, arguments)


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        fails(TypeError, "ssl argument must be an SSLContext or None", ssl=True),
        fails(ValueError, "ssl_handshake_timeout is only meaningful", ssl_handshake_timeout=1),
        fails(ValueError, "ssl_shutdown_timeout is only meaningful", ssl_shutdown_timeout=1),
        fails(ValueError, "Neither host/port nor sock were specified"),
        fails(ValueError, "host/port and sock can not be specified", host="x", sock="STREAM"),
        fails(ValueError, "A Stream Socket was expected", sock="DGRAM"),
        fails(TypeError, "Socket cannot be of type SSLSocket", sock="TLS"),
        fails(OverflowError, "port must be 0-65535", host=LOCAL, port=65536),
    ],
)
def test_arguments_of_create_server(run, error, message, arguments):
    check_arguments(run, "create_server", error, message, arguments)


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        fails(ValueError, "you have to pass server_hostname when using ssl", ssl=True),
        fails(ValueError, "server_hostname is only meaningful with ssl", server_hostname="x"),
        fails(ValueError, "ssl_handshake_timeout is only meaningful", ssl_handshake_timeout=1),
        fails(ValueError, "ssl_shutdown_timeout is only meaningful", ssl_shutdown_timeout=1),
        fails(ValueError, "no path and sock were specified"),
        fails(ValueError, "path and sock can not be specified", path="x", sock="STREAM"),
        fails(ValueError, "A UNIX Domain Stream Socket was expected", sock="INET"),
        fails(ValueError, "A UNIX Domain Stream Socket was expected", sock="DGRAM"),
        fails(TypeError, "expected str, bytes or os.PathLike object", path=3),
    ],
)
def test_arguments_of_create_unix_connection(run, error, message, arguments):
    check_arguments(run, "create_unix_connection", error, message, arguments)


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        fails(TypeError, "ssl argument must be an SSLContext or None", ssl=True),
        fails(ValueError, "ssl_handshake_timeout is only meaningful", ssl_handshake_timeout=1),
        fails(ValueError, "ssl_shutdown_timeout is only meaningful", ssl_shutdown_timeout=1),
        fails(ValueError, "path was not specified, and no sock specified"),
        fails(ValueError, "path and sock can not be specified", path="x", sock="STREAM"),
        fails(ValueError, "A UNIX Domain Stream Socket was expected", sock="INET"),
        fails(ValueError, "A UNIX Domain Stream Socket was expected", sock="DGRAM"),
        fails(TypeError, "expected str, bytes or os.PathLike object", path=3),
        fails(OSError, "AF_UNIX path too long", path="/tmp/" + "x" * 200),
    ],
)
def test_arguments_of_create_unix_server(run, error, message, arguments):
    check_arguments(run, "create_unix_server", error, message, arguments)


@pytest.mark.parametrize(
    "error, message, arguments",
    [
        fails(ValueError, "A Stream Socket was expected", sock="DGRAM"),
        fails(ValueError, "ssl_handshake_timeout", sock="STREAM", ssl_handshake_timeout=1),
        fails(ValueError, "ssl_shutdown_timeout", sock="STREAM", ssl_shutdown_timeout=1),
        fails(TypeError, "Socket cannot be of type SSLSocket", sock="TLS"),
    ],
)
def test_arguments_of_connect_accepted_socket(run, error, message, arguments):
    check_arguments(run, "connect_accepted_socket", error, message, arguments)


def check_arguments(run, method, error, message, arguments):
    made = {
        "STREAM": lambda: socket.socket(socket.AF_UNIX),
        "DGRAM": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "INET": socket.socket,
        "TLS": lambda: ssl.create_default_context().wrap_socket(
            socket.socket(), server_hostname="x", do_handshake_on_connect=False
        ),
    }

    async def main():
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            if "sock" in arguments:
                sock = stack.enter_context(made[arguments["sock"]]())
                given = arguments | {"sock": sock}
            else:
                given = arguments
            with pytest.raises(error, match=message):
                await getattr(loop, method)(Recorder, **given)

    run(main())


# Servers


async def accepts(server_socket_name, family=socket.AF_INET):
    """Whether somebody accepts connections there."""
    loop = asyncio.get_running_loop()
    with socket.socket(family) as client:
        client.setblocking(False)
        try:
            await loop.sock_connect(client, server_socket_name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return await loop.sock_recv(client, 8) == b"welcome"


class Welcome(asyncio.Protocol):
    """Says one word and hangs up."""

    def connection_made(self, transport):
        transport.write(b"welcome")
        transport.close()


async def shut(server):
    server.close()
    await server.wait_closed()


def test_a_server_accepts(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Welcome, LOCAL, 0)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving()
        address = server.sockets[0].getsockname()
        for _ in range(3):
            assert await accepts(address)
        await shut(server)
        assert not await accepts(address)

    run(main())


def test_a_server_starts_when_it_is_told(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Welcome, LOCAL, 0, start_serving=False)
        address = server.sockets[0].getsockname()
        assert not server.is_serving()
        assert not await accepts(address)
        await server.start_serving()
        assert await accepts(address)
        await shut(server)

    run(main())


def test_a_bound_socket_is_served(run):
    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind((LOCAL, 0))
        server = await loop.create_server(Welcome, sock=sock)
        assert await accepts(sock.getsockname())
        await shut(server)
        assert sock.fileno() == -1

    run(main())


@pytest.mark.parametrize("host", [None, "", "several", "same", LOCAL.encode()])
def test_hosts_of_a_server(run, loop_kind, host):
    if loop_kind == "asyncio" and isinstance(host, bytes):
        pytest.skip("asyncio takes the bytes for several hosts")

    async def main():
        loop = asyncio.get_running_loop()
        hosts = {"several": [LOCAL, "127.0.0.2"], "same": [LOCAL, LOCAL]}.get(host, host)
        server = await loop.create_server(Welcome, hosts, 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        if hosts is not host and len(set(hosts)) > 1:
            assert {address[0] for address in addresses} == {LOCAL, "127.0.0.2"}
        elif isinstance(host, bytes) or host == "same":
            assert [address[0] for address in addresses] == [LOCAL]
        else:
            assert "0.0.0.0" in {address[0] for address in addresses}
        for sock in server.sockets:
            family = sock.family
            if family == socket.AF_INET6:
                # IPv4 has a socket of its own.
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            assert await accepts(sock.getsockname(), family)
        await shut(server)

    run(main())


def test_both_families_on_one_port(run):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.bind((LOCAL, 0))
            port = sock.getsockname()[1]
        server = await loop.create_server(Welcome, None, port)
        assert {sock.family for sock in server.sockets} == {socket.AF_INET, socket.AF_INET6}
        assert await accepts((LOCAL, port))
        assert await accepts(("::1", port), socket.AF_INET6)
        await shut(server)

    run(main())


def test_a_port_in_use_is_named(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as taken:
            address = taken.getsockname()
            with pytest.raises(OSError) as caught:
                await loop.create_server(Welcome, [LOCAL, "127.0.0.2"], address[1])
        assert caught.value.errno == errno.EADDRINUSE
        message = str(caught.value)
        assert f"error while attempting to bind on address {address!r}" in message
        assert "address already in use" in message

    run(main())


def test_an_address_of_another_machine(run, loop_kind):
    async def main():
        loop = asyncio.get_running_loop()
        elsewhere = "192.0.2.1"
        with pytest.raises(OSError) as caught:
            await loop.create_server(Welcome, elsewhere, 0)
        assert elsewhere in str(caught.value)
        if loop_kind == "boros":
            assert caught.value.errno == errno.EADDRNOTAVAIL
        if loop_kind == "boros" or sys.version_info >= (3, 13):
            server = await loop.create_server(Welcome, [elsewhere, LOCAL], 0)
            assert [sock.getsockname()[0] for sock in server.sockets] == [LOCAL]
            await shut(server)

    run(main())


@pytest.mark.parametrize("reuse", [None, True, False])
def test_socket_options_of_a_server(run, loop_kind, reuse):
    async def main():
        loop = asyncio.get_running_loop()
        options = {}
        if loop_kind == "boros" or sys.version_info >= (3, 13):
            options["keep_alive"] = reuse
        server = await loop.create_server(
            Welcome, LOCAL, 0, reuse_address=reuse, reuse_port=reuse, **options
        )
        (sock,) = server.sockets
        for option, expected in [
            (socket.SO_REUSEADDR, reuse is not False),
            (socket.SO_REUSEPORT, reuse is True),
            (socket.SO_KEEPALIVE, bool(options.get("keep_alive"))),
        ]:
            assert bool(sock.getsockopt(socket.SOL_SOCKET, option)) is expected
        if reuse:
            second = await loop.create_server(
                Welcome, *sock.getsockname(), reuse_port=True, reuse_address=True
            )
            await shut(second)
        await shut(server)

    run(main())


@pytest.mark.parametrize("moment", range(5))
def test_a_cancelled_server_is_closed(run, loop_kind, moment):
    if loop_kind == "asyncio":
        pytest.skip("asyncio goes on serving")

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.bind((LOCAL, 0))
            address = sock.getsockname()
        task = asyncio.create_task(loop.create_server(Welcome, *address))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        try:
            server = await task
        except asyncio.CancelledError:
            assert not await accepts(address)
        else:
            await shut(server)

    run(main())


def test_a_server_that_cannot_listen_leaves_nothing(run, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio leaves the sockets to the garbage collector")

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises((TypeError, ValueError)):
            await loop.create_server(Welcome, LOCAL, 0, backlog="many")
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/sock"
            with pytest.raises((TypeError, ValueError)):
                await loop.create_unix_server(Welcome, path, backlog="many", cleanup_socket=True)
            assert not os.path.exists(path)

    run(main())


def test_an_accepted_socket_is_connected(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as server, socket.socket() as client:
            client.connect(server.getsockname())
            accepted, _ = server.accept()
            transport, protocol = await loop.connect_accepted_socket(Recorder, accepted)
            assert transport.get_extra_info("peername") == client.getsockname()
            client.send(b"hi")
            client.shutdown(socket.SHUT_WR)
            await protocol.lost
            assert protocol.data == b"hi"

    run(main())


# Unix sockets


@pytest.mark.parametrize("convert", [str, os.fsencode, pathlib.Path])
def test_unix_connections(run, directory, convert):
    async def main():
        loop = asyncio.get_running_loop()
        path = convert(directory / "sock")
        server = await loop.create_unix_server(Welcome, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        await protocol.lost
        assert protocol.data == b"welcome"
        await shut(server)

    run(main())


def test_abstract_unix_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        for path in (f"\0boros-{os.getpid()}", f"\0boros-{os.getpid()}".encode()):
            server = await loop.create_unix_server(Welcome, path)
            _, protocol = await loop.create_unix_connection(Recorder, path)
            await protocol.lost
            assert protocol.data == b"welcome"
            await shut(server)
            with pytest.raises(ConnectionRefusedError):
                await loop.create_unix_connection(Recorder, path)

    run(main())


def test_unix_sockets_are_taken_over(run, directory):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(directory / "sock")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        server = await loop.create_unix_server(Welcome, sock=sock)
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        _, protocol = await loop.create_unix_connection(Recorder, sock=client)
        await protocol.lost
        assert protocol.data == b"welcome"
        await shut(server)

    run(main())


def test_a_stale_socket_is_replaced_and_no_other_file(run, directory):
    async def main():
        loop = asyncio.get_running_loop()
        path = directory / "sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        server = await loop.create_unix_server(Welcome, path)
        assert await accepts(str(path), socket.AF_UNIX)
        await shut(server)
        path.unlink(missing_ok=True)

        path.write_text("precious")
        with pytest.raises(OSError, match="Address .*sock' is already in use") as caught:
            await loop.create_unix_server(Welcome, path)
        assert caught.value.errno == errno.EADDRINUSE
        assert path.read_text() == "precious"

    run(main())


def test_a_unix_server_removes_its_path(run, loop_kind, directory):
    if loop_kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("asyncio does it from 3.13 on")

    async def main():
        loop = asyncio.get_running_loop()
        path = directory / "sock"
        for cleanup in (True, False):
            server = await loop.create_unix_server(Welcome, path, cleanup_socket=cleanup)
            assert stat.S_ISSOCK(path.stat().st_mode)
            await shut(server)
            assert path.exists() is not cleanup
        path.unlink()

        server = await loop.create_unix_server(Welcome, path)
        await shut(server)
        assert path.exists() is (sys.version_info < (3, 13))
        path.unlink(missing_ok=True)

        # Gone already, or replaced by somebody else.
        server = await loop.create_unix_server(Welcome, path, cleanup_socket=True)
        path.unlink()
        await shut(server)
        server = await loop.create_unix_server(Welcome, path, cleanup_socket=True)
        other = directory / "other"
        other.write_text("precious")
        other.replace(path)
        await shut(server)
        assert path.read_text() == "precious"

    run(main())


def test_unix_paths_without_a_server(run, loop_kind, directory):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(directory / "nowhere")
        with pytest.raises(FileNotFoundError) as caught:
            await loop.create_unix_connection(Recorder, path)
        if loop_kind == "boros":
            assert path in str(caught.value)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
        with pytest.raises(ConnectionRefusedError) as caught:
            await loop.create_unix_connection(Recorder, path)
        if loop_kind == "boros":
            assert path in str(caught.value)
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_server(Welcome, directory / "no" / "sock")

    run(main())
