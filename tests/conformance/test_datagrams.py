"""Datagram endpoints on asyncio's loop and on boros's."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import hashlib
import logging
import os
import socket
import struct
import sys
import weakref

import pytest

import boros

LOCAL = "127.0.0.1"
#: Python 3.13 sends empty datagrams, and counts a header for each that waits.
HEADERS = sys.version_info >= (3, 13)
HEADER = 8 if HEADERS else 0


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


class Recorder(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self):
        self.calls = []
        self.datagrams = []
        self.errors = []
        self.transport = None
        self.news = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def datagram_received(self, data, addr):
        self.calls.append("datagram")
        self.datagrams.append((data, addr))
        self.news.set()

    def error_received(self, exc):
        self.calls.append("error")
        self.errors.append(exc)
        self.news.set()

    def pause_writing(self):
        self.calls.append("pause")
        self.news.set()

    def resume_writing(self):
        self.calls.append("resume")
        self.news.set()

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)

    async def until(self, condition):
        """Wait until ``condition()`` holds, which is asked after each call of this protocol."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    async def next(self):
        """The next datagram and its sender."""
        await self.until(lambda: self.datagrams)
        return self.datagrams.pop(0)

    async def next_error(self):
        await self.until(lambda: self.errors)
        return self.errors.pop(0)


async def endpoint(factory=Recorder, **options):
    """A transport and its protocol; bound to a free port of this machine if nothing else is said."""
    if not options:
        options = {"local_addr": (LOCAL, 0)}
    return await asyncio.get_running_loop().create_datagram_endpoint(factory, **options)


def name_of(transport):
    return transport.get_extra_info("sockname")


async def closed(*transports):
    """Close, and wait until the protocols were told."""
    for transport in transports:
        protocol = transport.get_protocol()
        transport.close()
        await protocol.lost


# Making endpoints


def test_unconnected_endpoints_talk(run):
    async def main():
        left, left_protocol = await endpoint()
        right, right_protocol = await endpoint()
        left.sendto(b"question", name_of(right))
        data, sender = await right_protocol.next()
        assert (data, sender) == (b"question", name_of(left))
        assert type(data) is bytes
        right.sendto(b"answer", sender)
        assert await left_protocol.next() == (b"answer", name_of(right))
        await closed(left, right)
        assert left_protocol.calls == ["made", "datagram", "lost"]

    run(main())


def test_a_connected_endpoint_needs_no_address(run):
    async def main():
        server, server_protocol = await endpoint()
        client, client_protocol = await endpoint(remote_addr=name_of(server))
        assert client.get_extra_info("peername") == name_of(server)
        assert server.get_extra_info("peername") is None
        client.sendto(b"1")
        client.sendto(b"2", None)
        client.sendto(b"3", name_of(server))
        for expected in (b"1", b"2", b"3"):
            assert await server_protocol.next() == (expected, name_of(client))
        server.sendto(b"answer", name_of(client))
        assert await client_protocol.next() == (b"answer", name_of(server))
        await closed(client, server)

    run(main())


def test_another_address_than_the_only_one_is_refused(run):
    async def main():
        server, _ = await endpoint()
        client, client_protocol = await endpoint(remote_addr=name_of(server))
        with pytest.raises(ValueError, match=r"^Invalid address: must be None or \('127\.0\.0\.1'"):
            client.sendto(b"x", (LOCAL, 1))
        assert not client.is_closing()
        await closed(client, server)

    run(main())


def test_local_and_remote_address(run):
    async def main():
        server, server_protocol = await endpoint()
        client, _ = await endpoint(local_addr=("127.0.0.2", 0), remote_addr=name_of(server))
        assert name_of(client)[0] == "127.0.0.2"
        client.sendto(b"from elsewhere")
        assert await server_protocol.next() == (b"from elsewhere", name_of(client))
        await closed(client, server)

    run(main())


def test_names_are_looked_up(run):
    async def main():
        server, server_protocol = await endpoint(local_addr=("localhost", 0), family=socket.AF_INET)
        client, _ = await endpoint(
            remote_addr=("localhost", name_of(server)[1]), family=socket.AF_INET
        )
        client.sendto(b"by name")
        assert (await server_protocol.next())[0] == b"by name"
        loose, _ = await endpoint()
        loose.sendto(b"by name, too", ("localhost", name_of(server)[1]))
        assert (await server_protocol.next())[0] == b"by name, too"
        await closed(client, server, loose)

    run(main())


@needs_ipv6
def test_ipv6(run):
    async def main():
        server, server_protocol = await endpoint(local_addr=("::1", 0))
        host, port, flow, scope = name_of(server)
        assert (host, flow, scope) == ("::1", 0, 0)
        client, client_protocol = await endpoint(local_addr=("::1", 0))
        for address in (("::1", port), ("::1", port, 0), ("::1", port, 0, 0)):
            client.sendto(b"6", address)
            assert await server_protocol.next() == (b"6", name_of(client))
        server.sendto(b"answer", name_of(client))
        assert await client_protocol.next() == (b"answer", name_of(server))
        connected, _ = await endpoint(remote_addr=("::1", port))
        connected.sendto(b"connected")
        assert await server_protocol.next() == (b"connected", name_of(connected))
        await closed(client, server, connected)

    run(main())


def link_local():
    """A link-local address of this machine and its interface's number, or None."""
    try:
        with open("/proc/net/if_inet6") as lines:
            for line in lines:
                digits, index, _, scope, *_ = line.split()
                if scope == "20":
                    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), int(index, 16)
    except OSError:
        return None
    return None


@pytest.mark.skipif(link_local() is None, reason="no link-local address here")
def test_ipv6_scopes(run):
    async def main():
        host, scope = link_local()
        server, server_protocol = await endpoint(local_addr=(f"{host}%{scope}", 0))
        assert name_of(server)[3] == scope
        client, client_protocol = await endpoint(local_addr=("::", 0), family=socket.AF_INET6)
        client.sendto(b"to a zone", name_of(server))
        data, sender = await server_protocol.next()
        assert (data, sender[3]) == (b"to a zone", scope)
        server.sendto(b"answer", sender)
        assert await client_protocol.next() == (b"answer", name_of(server))
        await closed(client, server)

    run(main())


def test_a_scope_is_part_of_the_address(run):
    async def main():
        # An interface that there is not: had the scope been lost, the system would complain otherwise.
        transport, protocol = await endpoint(local_addr=("::", 0), family=socket.AF_INET6)
        transport.sendto(b"x", ("fe80::1", 9, 0, 2**31 - 7))
        error = await protocol.next_error()
        assert error.errno in (errno.ENODEV, errno.EINVAL, errno.ENETUNREACH)
        assert not transport.is_closing()
        await closed(transport)

    if has_ipv6():
        run(main())


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_endpoints(run, tmp_path, abstract):
    prefix = f"\0{os.getpid()}-" if abstract else f"{tmp_path}/"

    async def main():
        server, server_protocol = await endpoint(
            local_addr=prefix + "server", family=socket.AF_UNIX
        )
        client, client_protocol = await endpoint(
            local_addr=prefix + "client", remote_addr=prefix + "server", family=socket.AF_UNIX
        )
        client.sendto(b"question")
        data, sender = await server_protocol.next()
        assert data == b"question"
        assert sender == name_of(client)
        server.sendto(b"answer", sender)
        assert await client_protocol.next() == (b"answer", name_of(server))
        nameless, _ = await endpoint(family=socket.AF_UNIX)
        nameless.sendto(b"anonymous", prefix + "server")
        assert await server_protocol.next() == (b"anonymous", None)
        await closed(client, server, nameless)

    run(main())


def test_a_stale_unix_socket_is_replaced(run, tmp_path):
    path = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(path)

    async def main():
        transport, _ = await endpoint(local_addr=path, family=socket.AF_UNIX)
        await closed(transport)

    run(main())
    os.remove(path)


def test_a_file_in_the_way_is_not_removed(run, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")

    async def main():
        with pytest.raises(OSError) as caught:
            await endpoint(local_addr=str(path), family=socket.AF_UNIX)
        assert caught.value.errno == errno.EADDRINUSE

    run(main())
    assert path.read_text() == "mine"


def test_a_given_socket(run):
    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOCAL, 0))
        transport, protocol = await endpoint(sock=sock)
        assert not sock.getblocking()
        assert transport.get_extra_info("socket").fileno() == sock.fileno()
        transport.sendto(b"to myself", sock.getsockname())
        assert await protocol.next() == (b"to myself", sock.getsockname())
        await closed(transport)
        assert sock.fileno() == -1

    run(main())


def test_a_given_connected_socket(run):
    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with right:
            right.setblocking(False)
            transport, protocol = await endpoint(sock=left)
            right.send(b"hello")
            assert (await protocol.next())[0] == b"hello"
            await closed(transport)

    run(main())


def test_a_nameless_pair_can_send(boros_run):
    # asyncio asks the peer's name whether there is a peer, and a pair's sockets have none.
    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        left_transport, left_protocol = await endpoint(sock=left)
        right_transport, right_protocol = await endpoint(sock=right)
        left_transport.sendto(b"question")
        assert await right_protocol.next() == (b"question", None)
        right_transport.sendto(b"answer")
        assert await left_protocol.next() == (b"answer", None)
        await closed(left_transport, right_transport)

    boros_run(main())


def test_a_netlink_socket(boros_run):
    # Not an address family whose addresses boros reads itself.
    async def main():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
        transport, protocol = await endpoint(sock=sock)
        # RTM_GETLINK, with NLM_F_REQUEST and NLM_F_DUMP.
        transport.sendto(struct.pack("=LHHLLBxxx", 20, 18, 0x301, 7, 0, 0), (0, 0))
        data, sender = await protocol.next()
        assert sender == (0, 0)
        assert struct.unpack_from("=LHHL", data)[3] == 7
        await closed(transport)

    boros_run(main())


@pytest.fixture
def boros_run(_reports):
    def run(main, **options):
        def make():
            loop = boros.new_event_loop()
            loop.set_exception_handler(_reports)
            return loop

        with asyncio.Runner(loop_factory=make, **options) as runner:
            return runner.run(main)

    return run


def test_broadcast_sockets_are_not_connected(run):
    async def main():
        server, server_protocol = await endpoint()
        asker, asker_protocol = await endpoint(remote_addr=name_of(server), allow_broadcast=True)
        sock = asker.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        assert asker.get_extra_info("peername") is None
        asker.sendto(b"anybody?")
        data, sender = await server_protocol.next()
        assert data == b"anybody?"
        # Somebody else may answer.
        other, _ = await endpoint()
        other.sendto(b"me", (LOCAL, sender[1]))
        assert await asker_protocol.next() == (b"me", name_of(other))
        with pytest.raises(ValueError, match="^Invalid address"):
            asker.sendto(b"x", name_of(other))
        await closed(asker, server, other)

    run(main())


def test_broadcast_needs_leave(run):
    async def main():
        transport, protocol = await endpoint(local_addr=("0.0.0.0", 0))
        transport.sendto(b"x", ("255.255.255.255", 9))
        assert isinstance(await protocol.next_error(), PermissionError)
        transport.sendto(b"x", ("<broadcast>", 9))
        assert isinstance(await protocol.next_error(), PermissionError)
        assert not transport.is_closing()
        await closed(transport)

    run(main())


def test_reuse_port(run):
    async def main():
        first, _ = await endpoint(local_addr=(LOCAL, 0), reuse_port=True)
        second, _ = await endpoint(local_addr=name_of(first), reuse_port=True)
        assert name_of(first) == name_of(second)
        for transport in (first, second):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        await closed(first, second)

    run(main())


# Arguments


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({}, ValueError, "^unexpected address family$"),
        ({"local_addr": "localhost"}, TypeError, "^2-tuple is expected$"),
        ({"remote_addr": "localhost"}, TypeError, "^2-tuple is expected$"),
        ({"local_addr": (LOCAL, 1, 2)}, TypeError, "^2-tuple is expected$"),
        ({"local_addr": [LOCAL, 1]}, TypeError, "^2-tuple is expected$"),
        (
            {"local_addr": b"path", "family": socket.AF_UNIX},
            TypeError,
            "^string is expected$",
        ),
        (
            {"remote_addr": (LOCAL, 1), "family": socket.AF_UNIX},
            TypeError,
            "^string is expected$",
        ),
        (
            {"local_addr": ("::1", 0), "remote_addr": (LOCAL, 1)},
            ValueError,
            "^can not get address information$",
        ),
        ({"local_addr": (LOCAL, 0), "reuse_address": True}, TypeError, "unexpected keyword"),
    ],
)
def test_bad_arguments(run, options, error, message):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(error, match=message):
            await loop.create_datagram_endpoint(Recorder, **options)

    run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"local_addr": (LOCAL, 0)},
        {"remote_addr": (LOCAL, 0)},
        {"family": 1},
        {"proto": 1},
        {"flags": 1},
        {"reuse_port": True},
        {"allow_broadcast": True},
    ],
)
def test_options_beside_a_socket_are_refused(run, options):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            [(name, value)] = options.items()
            with pytest.raises(ValueError) as caught:
                await endpoint(sock=sock, **options)
            assert str(caught.value) == (
                "socket modifier keyword arguments can not be used when sock is specified. "
                f"({name}={value})"
            )
            # It is still the caller's.
            sock.bind((LOCAL, 0))

    run(main())


def test_stream_sockets_are_refused(run):
    async def main():
        what = "A datagram socket" if HEADERS else "A UDP Socket"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            with pytest.raises(ValueError, match=f"^{what} was expected, got <socket"):
                await endpoint(sock=sock)

    run(main())


def test_an_address_in_use(run):
    async def main():
        first, _ = await endpoint()
        with pytest.raises(OSError) as caught:
            await endpoint(local_addr=name_of(first))
        assert caught.value.errno == errno.EADDRINUSE
        if isinstance(asyncio.get_running_loop(), boros.EventLoop):
            assert repr(name_of(first)) in str(caught.value)
        await closed(first)

    run(main())


def test_a_unix_peer_that_is_not_there(run, tmp_path):
    async def main():
        path = str(tmp_path / "nobody")
        with pytest.raises(FileNotFoundError) as caught:
            await endpoint(remote_addr=path, family=socket.AF_UNIX)
        if isinstance(asyncio.get_running_loop(), boros.EventLoop):
            assert caught.value.filename == path

    run(main())


def test_a_factory_that_raises_leaves_nothing_open(boros_run):
    # asyncio leaves the socket to the collector.
    async def main():
        with pytest.raises(ZeroDivisionError):
            await endpoint(lambda: 1 // 0, local_addr=(LOCAL, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with pytest.raises(ZeroDivisionError):
                await endpoint(lambda: 1 // 0, sock=sock)
            assert sock.fileno() != -1

    boros_run(main())


def test_a_socket_has_one_transport(boros_run):
    async def main():
        transport, _ = await endpoint()
        with pytest.raises(RuntimeError, match="is used by transport <DatagramTransport fd="):
            await endpoint(sock=transport._sock)
        with pytest.raises(RuntimeError, match="is used by transport <DatagramTransport fd="):
            asyncio.get_running_loop().add_reader(transport._sock_fd, print)
        await closed(transport)

    boros_run(main())


# Sending


@pytest.mark.parametrize(
    "data", [bytearray(b"data"), memoryview(b"data"), memoryview(b"dxaxtxax")[::2]]
)
def test_kinds_of_data(run, data, reports):
    async def main():
        server, server_protocol = await endpoint()
        client, client_protocol = await endpoint(remote_addr=name_of(server))
        client.sendto(data)
        if isinstance(data, memoryview) and not data.contiguous:
            assert isinstance(await client_protocol.lost, BufferError)
            [report] = reports
            assert report["message"] == "Fatal write error on datagram transport"
            assert report["transport"] is client
            await closed(server)
            return
        assert (await server_protocol.next())[0] == b"data"
        await closed(client, server)

    run(main())


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"]])
def test_wrong_kinds_of_data(run, data):
    async def main():
        transport, _ = await endpoint()
        kind = type(data).__name__
        with pytest.raises(
            TypeError, match=f"^data argument must be a bytes-like object, not '{kind}'$"
        ):
            transport.sendto(data, (LOCAL, 9))
        assert not transport.is_closing()
        await closed(transport)

    run(main())


def test_empty_datagrams(run):
    async def main():
        server, server_protocol = await endpoint()
        client, _ = await endpoint(remote_addr=name_of(server))
        client.sendto(b"")
        client.sendto(bytearray())
        client.sendto(b"end")
        received = []
        while not received or received[-1] != b"end":
            received.append((await server_protocol.next())[0])
        assert received == ([b"", b"", b"end"] if HEADERS else [b"end"])
        await closed(client, server)

    run(main())


def test_empty_datagrams_arrive(run):
    async def main():
        server, server_protocol = await endpoint()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", name_of(server))
        assert (await server_protocol.next())[0] == b""
        await closed(server)

    run(main())


@pytest.mark.parametrize(
    "address", [(LOCAL,), (LOCAL, "port"), (LOCAL, 2**40), (LOCAL, -1), 7, None]
)
def test_what_is_no_address_breaks_the_endpoint_loudly(run, reports, address):
    async def main():
        transport, protocol = await endpoint()
        transport.sendto(b"x", address)
        error = await protocol.lost
        assert isinstance(error, (TypeError, OverflowError))
        [report] = reports
        assert report["message"] == "Fatal write error on datagram transport"
        assert report["exception"] is error
        assert report["transport"] is transport
        assert report["protocol"] is protocol

    run(main())


def test_a_name_that_nobody_knows_is_an_error_of_the_network(run):
    async def main():
        transport, protocol = await endpoint()
        transport.sendto(b"x", ("name.invalid.", 9))
        assert isinstance(await protocol.next_error(), socket.gaierror)
        assert not transport.is_closing()
        await closed(transport)

    run(main())


def test_oversized_datagrams(run):
    async def main():
        server, server_protocol = await endpoint()
        client, client_protocol = await endpoint(remote_addr=name_of(server))
        loose, loose_protocol = await endpoint()
        client.sendto(bytes(65508))
        assert (await client_protocol.next_error()).errno == errno.EMSGSIZE
        loose.sendto(bytes(65508), name_of(server))
        assert (await loose_protocol.next_error()).errno == errno.EMSGSIZE
        # The largest one is fine, and the endpoint goes on.
        client.sendto(bytes(65507))
        assert len((await server_protocol.next())[0]) == 65507
        await closed(client, server, loose)

    run(main())


def test_refused_datagrams(run):
    async def main():
        gone, _ = await endpoint()
        address = name_of(gone)
        await closed(gone)
        transport, protocol = await endpoint(remote_addr=address)
        for _ in range(3):
            transport.sendto(b"anybody?")
            assert isinstance(await protocol.next_error(), ConnectionRefusedError)
        assert not transport.is_closing()
        # Somebody comes, and hears.
        server, server_protocol = await endpoint(local_addr=address)
        transport.sendto(b"hello")
        assert (await server_protocol.next())[0] == b"hello"
        await closed(transport, server)

    run(main())


def test_unix_peers_that_leave(run, tmp_path):
    async def main():
        path = str(tmp_path / "server")
        server, _ = await endpoint(local_addr=path, family=socket.AF_UNIX)
        client, client_protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
        loose, loose_protocol = await endpoint(family=socket.AF_UNIX)
        await closed(server)
        client.sendto(b"x")
        assert isinstance(await client_protocol.next_error(), ConnectionError)
        loose.sendto(b"x", path)
        assert isinstance(await loose_protocol.next_error(), ConnectionRefusedError)
        loose.sendto(b"x", path + "?")
        assert isinstance(await loose_protocol.next_error(), FileNotFoundError)
        await closed(client, loose)

    run(main())


# Flow control


def crowd(path):
    """A Unix socket that does not read, so that its few places fill."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.setblocking(False)
    return sock


def fill(transport, data, address=None):
    """Send until one datagram has to wait; return how many were sent."""
    count = 0
    while not transport.get_write_buffer_size():
        transport.sendto(data, address)
        count += 1
    return count


@pytest.mark.parametrize("connected", [True, False])
def test_datagrams_that_find_no_room_wait(run, tmp_path, connected):
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(
                remote_addr=path if connected else None, family=socket.AF_UNIX
            )
            address = None if connected else path
            count = fill(transport, b"%10d" % 0, address)
            assert transport.get_write_buffer_size() == 10 + HEADER
            for number in range(1, 6):
                # What waits is a copy.
                data = bytearray(b"%10d" % number)
                transport.sendto(data, address)
                data[:] = bytes(10)
            assert transport.get_write_buffer_size() == 6 * (10 + HEADER)
            received = []
            loop = asyncio.get_running_loop()
            while len(received) < count + 5:
                received.append(await loop.sock_recv(reader, 100))
            assert received[-6:] == [b"%10d" % number for number in range(6)]
            await closed(transport)
            assert protocol.calls == ["made", "lost"]

    run(main())


def test_pause_and_resume(run, tmp_path):
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            transport.set_write_buffer_limits(high=5 * (100 + HEADER), low=0)
            assert transport.get_write_buffer_limits() == (0, 5 * (100 + HEADER))
            count = fill(transport, bytes(100))
            for _ in range(4):
                transport.sendto(bytes(100))
                count += 1
            assert protocol.calls == ["made"]
            transport.sendto(bytes(100))
            count += 1
            assert protocol.calls == ["made", "pause"]
            transport.sendto(bytes(100))
            count += 1
            assert protocol.calls == ["made", "pause"]
            loop = asyncio.get_running_loop()
            for _ in range(count):
                assert len(await loop.sock_recv(reader, 1000)) == 100
            if isinstance(loop, boros.EventLoop) or not HEADERS:
                # 3.13's asyncio forgets to take the headers off again.
                await protocol.until(lambda: "resume" in protocol.calls)
                assert transport.get_write_buffer_size() == 0
            transport.abort()
            await protocol.lost

    run(main())


@pytest.mark.parametrize("high, low", [(1, 2), (-1, None), (5, -1)])
def test_bad_limits(run, high, low):
    async def main():
        transport, _ = await endpoint()
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(high, low)
        assert transport.get_write_buffer_limits() == (16384, 65536)
        await closed(transport)

    run(main())


def test_close_sends_what_waits(run, tmp_path):
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            count = fill(transport, b"x")
            transport.sendto(b"last")
            transport.close()
            assert transport.is_closing()
            await asyncio.sleep(0)
            assert not protocol.lost.done()
            loop = asyncio.get_running_loop()
            received = [await loop.sock_recv(reader, 10) for _ in range(count + 1)]
            assert received[-1] == b"last"
            assert await protocol.lost is None
            assert protocol.calls == ["made", "lost"]

    run(main())


def test_abort_drops_what_waits(run, tmp_path):
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            count = fill(transport, b"x")
            transport.sendto(b"last")
            transport.abort()
            assert await protocol.lost is None
            received = []
            with pytest.raises(BlockingIOError):
                while True:
                    received.append(reader.recv(10))
            assert received == [b"x"] * (count - 1)

    run(main())


def test_the_loop_rests_while_a_receiver_has_no_room(boros_run, tmp_path):
    # Such a socket is writable to the system; asked again and again, it would keep the processor busy.
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(family=socket.AF_UNIX)
            count = fill(transport, b"x", path)
            before = os.times()
            await asyncio.sleep(0.5)
            after = os.times()
            assert after.user + after.system - before.user - before.system < 0.3
            transport.close()
            loop = asyncio.get_running_loop()
            for _ in range(count):
                assert await loop.sock_recv(reader, 10) == b"x"
            assert await protocol.lost is None

    boros_run(main())


class Sender(Recorder):
    """Waits when it is asked to."""

    def __init__(self):
        super().__init__()
        self.free = asyncio.Event()
        self.free.set()

    def pause_writing(self):
        super().pause_writing()
        self.free.clear()

    def resume_writing(self):
        super().resume_writing()
        self.free.set()


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.timeout(60)
def test_ten_thousand_datagrams_are_all_there(boros_run, tmp_path, connected):
    # Unix sockets lose nothing. (asyncio's flow control of 3.13 never lets a sender go on, see above.)
    total = 10_000

    async def main():
        path = str(tmp_path / "server")
        server, server_protocol = await endpoint(local_addr=path, family=socket.AF_UNIX)
        client, client_protocol = await endpoint(
            Sender, remote_addr=path if connected else None, family=socket.AF_UNIX
        )
        client.set_write_buffer_limits(high=8192)
        for number in range(total):
            await client_protocol.free.wait()
            body = b"%d " % number * (number % 50)
            client.sendto(hashlib.sha256(body).digest() + body, None if connected else path)
        client.close()
        await server_protocol.until(lambda: len(server_protocol.datagrams) == total)
        for number, (data, _) in enumerate(server_protocol.datagrams):
            assert data[32:] == b"%d " % number * (number % 50)
            assert data[:32] == hashlib.sha256(data[32:]).digest()
        assert await client_protocol.lost is None
        assert "pause" in client_protocol.calls
        assert client_protocol.calls.count("pause") == client_protocol.calls.count("resume")
        assert not client_protocol.errors
        await closed(server)

    boros_run(main())


def test_an_error_of_one_datagram_does_not_stop_the_next(run, tmp_path):
    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(family=socket.AF_UNIX)
            count = fill(transport, b"x", path)
            transport.sendto(b"lost", str(tmp_path / "nobody"))
            transport.sendto(b"last", path)
            loop = asyncio.get_running_loop()
            received = [await loop.sock_recv(reader, 10) for _ in range(count + 1)]
            assert received[-1] == b"last"
            assert isinstance(await protocol.next_error(), FileNotFoundError)
            await closed(transport)

    run(main())


# Receiving


def test_a_flood_does_not_starve_others(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, protocol = await endpoint()
        server.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(200):
                sock.sendto(b"%d" % number, name_of(server))
        most = 0
        turns = 0

        def turn():
            nonlocal most, turns, before
            most = max(most, len(protocol.datagrams) - before)
            before = len(protocol.datagrams)
            turns += 1
            if before < 200:
                loop.call_soon(turn)

        before = 0
        loop.call_soon(turn)
        await protocol.until(lambda: len(protocol.datagrams) == 200)
        assert [data for data, _ in protocol.datagrams] == [b"%d" % n for n in range(200)]
        assert most <= 16
        await closed(server)

    run(main())


def test_pausing_in_a_callback_stops_at_once(run):
    class Pausing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.pause_reading()

    async def main():
        server, protocol = await endpoint(Pausing, local_addr=(LOCAL, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(40):
                sock.sendto(b"%d" % number, name_of(server))
        for number in range(40):
            assert (await protocol.next())[0] == b"%d" % number
            assert not protocol.datagrams
            assert not server.is_reading()
            server.resume_reading()
            assert server.is_reading()
        await closed(server)

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_closing_in_a_callback_stops_at_once(run, how):
    class Closing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            getattr(self.transport, how)()

    async def main():
        server, protocol = await endpoint(Closing, local_addr=(LOCAL, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(40):
                sock.sendto(b"x", name_of(server))
        assert await protocol.lost is None
        assert protocol.calls == ["made", "datagram", "lost"]

    run(main())


def test_closing_while_a_datagram_is_being_sent(run):
    class Closing(Recorder):
        def error_received(self, exc):
            super().error_received(exc)
            self.transport.abort()
            self.transport.sendto(b"more")

    async def main():
        server, _ = await endpoint()
        client, protocol = await endpoint(Closing, remote_addr=name_of(server))
        client.sendto(bytes(70000))
        assert await protocol.lost is None
        assert protocol.calls == ["made", "error", "lost"]
        await closed(server)

    run(main())


def test_callbacks_that_raise_do_not_close_the_endpoint(run, reports):
    class Raising(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"bad":
                raise ZeroDivisionError(data)

    async def main():
        server, protocol = await endpoint(Raising, local_addr=(LOCAL, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in (b"1", b"bad", b"2", b"bad", b"3"):
                sock.sendto(data, name_of(server))
            for data in (b"1", b"bad", b"2", b"bad", b"3"):
                assert (await protocol.next())[0] == data
        assert not server.is_closing()
        await closed(server)

    run(main())
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError] * 2
    assert all("_read_ready" in report["message"] for report in reports)


def test_error_received_that_raises(run, reports):
    class Raising(Recorder):
        def error_received(self, exc):
            super().error_received(exc)
            raise ZeroDivisionError

    async def main():
        gone, _ = await endpoint()
        address = name_of(gone)
        await closed(gone)
        transport, protocol = await endpoint(Raising, remote_addr=address)
        # In sendto, the caller hears of it.
        with pytest.raises(ZeroDivisionError):
            transport.sendto(bytes(70000))
        assert not reports
        # Otherwise the exception handler does.
        transport.sendto(b"x")
        await protocol.until(lambda: len(protocol.errors) == 2)
        await asyncio.sleep(0)
        assert not transport.is_closing()
        await closed(transport)

    run(main())
    [report] = reports
    assert isinstance(report["exception"], ZeroDivisionError)


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_is_reported(boros_run, tmp_path, reports, method):
    def raising(self):
        raise ZeroDivisionError

    class Raising(Recorder):
        locals()[method] = raising

    async def main():
        path = str(tmp_path / "crowd")
        with crowd(path) as reader:
            transport, protocol = await endpoint(Raising, remote_addr=path, family=socket.AF_UNIX)
            transport.set_write_buffer_limits(high=0)
            count = fill(transport, b"x")
            loop = asyncio.get_running_loop()
            for _ in range(count):
                await loop.sock_recv(reader, 10)
            transport.close()
            assert await protocol.lost is None

    boros_run(main())
    [report] = reports
    assert report["message"] == f"protocol.{method}() failed"
    assert isinstance(report["exception"], ZeroDivisionError)


def test_callbacks_that_are_missing(run, reports):
    class Bare(asyncio.BaseProtocol):
        pass

    async def main():
        server, _ = await endpoint(Bare, local_addr=(LOCAL, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", name_of(server))
        while not reports:
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0)

    run(main())
    assert isinstance(reports[0]["exception"], AttributeError)


# Life


def test_the_order_of_the_first_calls(run):
    class Sending(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            # To itself: it must not be received before this returns.
            transport.sendto(b"x", transport.get_extra_info("sockname"))

    async def main():
        transport, protocol = await endpoint(Sending, local_addr=(LOCAL, 0))
        assert protocol.calls == ["made"]
        assert protocol.transport is transport
        await protocol.next()
        await closed(transport)

    run(main())


def test_connection_made_that_raises(run, reports):
    class Raising(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main():
        transport, _ = await endpoint(Raising, local_addr=(LOCAL, 0))
        await closed(transport)

    run(main())
    [report] = reports
    assert isinstance(report["exception"], ZeroDivisionError)


def test_connection_lost_comes_once_and_later(run):
    async def main():
        transport, protocol = await endpoint()
        transport.close()
        transport.close()
        transport.abort()
        assert protocol.calls == ["made"]
        await protocol.lost
        transport.close()
        transport.abort()
        await asyncio.sleep(0)
        assert protocol.calls == ["made", "lost"]
        assert transport.is_closing()
        assert repr(transport).startswith(f"<{type(transport).__name__} closed fd=")

    run(main())


def test_cancelling_the_creation_closes_the_endpoint(run):
    async def main():
        protocols = []

        def factory():
            protocols.append(Recorder())
            asyncio.get_running_loop().call_soon(task.cancel)
            return protocols[0]

        task = asyncio.create_task(endpoint(factory, local_addr=(LOCAL, 0)))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await protocols[0].lost is None

    run(main())


def test_sending_on_a_closed_connected_endpoint_is_dropped(run, caplog):
    async def main():
        server, server_protocol = await endpoint()
        client, _ = await endpoint(remote_addr=name_of(server))
        client.close()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(10):
                client.sendto(b"x")
        await client.get_protocol().lost
        client.sendto(b"x")
        assert "socket.send() raised exception." in caplog.text
        await asyncio.sleep(0)
        assert not server_protocol.datagrams
        await closed(server)

    run(main())


def test_sending_on_a_closed_endpoint_is_dropped(boros_run):
    # asyncio breaks with an AttributeError here.
    async def main():
        server, server_protocol = await endpoint()
        client, _ = await endpoint()
        await closed(client)
        client.sendto(b"x", name_of(server))
        # Nor does it reach whoever has the number now.
        left, right = socket.socketpair()
        with left, right:
            for _ in range(10):
                client.sendto(b"x", name_of(server))
            right.setblocking(False)
            with pytest.raises(BlockingIOError):
                right.recv(1)
        assert not server_protocol.datagrams
        await closed(server)

    boros_run(main())


def test_a_number_that_is_in_use_again_is_left_alone(run):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20):
            first, protocol = await endpoint()
            number = first.get_extra_info("socket").fileno()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                # There is something to read when it is closed, and its job may be queued.
                sock.sendto(b"old", name_of(first))
                await asyncio.sleep(0)
                first.abort()
                await protocol.lost
            second, second_protocol = await endpoint()
            assert second.get_extra_info("socket").fileno() == number
            second.sendto(b"new", name_of(second))
            assert (await second_protocol.next())[0] == b"new"
            await closed(second)
            left, right = socket.socketpair()
            with left, right:
                left.setblocking(False)
                right.send(b"other")
                assert await loop.sock_recv(left, 10) == b"other"
            assert protocol.calls in (["made", "lost"], ["made", "datagram", "lost"])

    run(main())


def test_the_program_cannot_close_the_descriptor(boros_run):
    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOCAL, 0))
        transport, protocol = await endpoint(sock=sock)
        sock.close()
        transport.sendto(b"still there", name_of(transport))
        assert (await protocol.next())[0] == b"still there"
        number = transport._sock_fd
        await closed(transport)
        with pytest.raises(OSError):
            os.fstat(number)

    boros_run(main())


def test_an_endpoint_that_is_lost_open_warns_and_closes(loop_kind, new_loop):
    loop = new_loop()
    transport, protocol = loop.run_until_complete(in_loop(loop))
    number = transport.get_extra_info("socket").fileno()
    gone = weakref.ref(transport)
    loop.close()
    with pytest.warns(ResourceWarning, match="^unclosed transport <.*DatagramTransport.* fd="):
        protocol.transport = None
        del transport
        if loop_kind == "asyncio":
            loop._selector = None
        del loop, new_loop
        gc.collect()
    assert gone() is None
    with pytest.raises(OSError):
        os.fstat(number)


async def in_loop(loop):
    return await endpoint()


def test_endpoints_take_part_in_collection(run):
    async def main():
        transport, protocol = await endpoint()
        transport.myself = transport
        protocol.cycle = protocol
        transport_gone, protocol_gone = weakref.ref(transport), weakref.ref(protocol)
        await closed(transport)
        del transport, protocol
        gc.collect()
        assert transport_gone() is None
        assert protocol_gone() is None

    run(main())


def test_callbacks_run_in_the_context_of_the_creator(run):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Looking(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())
            super().connection_made(transport)

        def datagram_received(self, data, addr):
            seen.append(variable.get())
            super().datagram_received(data, addr)

    async def main():
        variable.set("creator")
        transport, protocol = await endpoint(Looking, local_addr=(LOCAL, 0))
        variable.set("later")
        transport.sendto(b"x", name_of(transport))
        await protocol.next()
        assert seen == ["creator", "creator"]
        await closed(transport)

    run(main())


# What a transport tells


def test_kind_and_extra_info(run):
    async def main():
        transport, protocol = await endpoint()
        assert isinstance(transport, asyncio.BaseTransport)
        assert isinstance(transport, asyncio.Transport)
        if sys.version_info >= (3, 12) or isinstance(asyncio.get_running_loop(), boros.EventLoop):
            assert isinstance(transport, asyncio.DatagramTransport)
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.type == socket.SOCK_DGRAM
        assert name_of(transport) == sock.getsockname()
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("peername", "default") is None
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", "default") == "default"
        assert transport.get_protocol() is protocol
        assert not transport.is_closing()
        assert transport.is_reading()
        number = sock.fileno()
        assert f"fd={number} read=polling write=<idle, bufsize=0>" in repr(transport)
        transport.close()
        assert f"closing fd={number} read=idle write=<idle, bufsize=0>" in repr(transport)
        await protocol.lost
        # Known afterwards, too.
        assert name_of(transport)[0] == LOCAL

    run(main())


def test_protocols_can_be_exchanged(run):
    async def main():
        transport, first = await endpoint()
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.sendto(b"x", name_of(transport))
        assert (await second.next())[0] == b"x"
        transport.close()
        await second.lost
        assert first.calls == ["made"]

    run(main())


def test_debug_mode(run, caplog):
    async def main():
        with caplog.at_level(logging.DEBUG, "asyncio"):
            server, server_protocol = await endpoint()
            client, _ = await endpoint(remote_addr=name_of(server))
            client.sendto(b"x")
            await server_protocol.next()
            server.pause_reading()
            server.resume_reading()
            await closed(client, server)
        for text in ("Datagram endpoint local_addr=", "pauses reading", "resumes reading"):
            assert text in caplog.text

    run(main(), debug=True)


def test_other_threads_are_told_in_debug_mode(boros_run):
    async def main():
        transport, protocol = await endpoint()
        with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
            await asyncio.to_thread(transport.close)
        transport._call_connection_lost(None)
        await protocol.lost

    boros_run(main(), debug=True)


def test_a_closed_loop_makes_no_endpoints(boros_run):
    loop = boros.new_event_loop()
    loop.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(RuntimeError, match="closed"):
            loop._make_datagram_transport(sock, asyncio.DatagramProtocol())
        assert sock.fileno() != -1


def test_multicast(run):
    async def main():
        group = "239.255.83.7"
        server, server_protocol = await endpoint(local_addr=("0.0.0.0", 0), reuse_port=True)
        sock = server.get_extra_info("socket")
        member = socket.inet_aton(group) + socket.inet_aton(LOCAL)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        client, _ = await endpoint()
        out = client.get_extra_info("socket")
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOCAL))
        client.sendto(b"to all", (group, name_of(server)[1]))
        assert await server_protocol.next() == (b"to all", name_of(client))
        await closed(server, client)

    run(main())


def test_many_endpoints_at_once(run):
    async def main():
        server, server_protocol = await endpoint()
        pairs = [await endpoint(remote_addr=name_of(server)) for _ in range(100)]
        for number, (client, _) in enumerate(pairs):
            client.sendto(b"%d" % number)
        for _ in pairs:
            data, sender = await server_protocol.next()
            server.sendto(b"re " + data, sender)
        for number, (client, protocol) in enumerate(pairs):
            assert await protocol.next() == (b"re %d" % number, name_of(server))
            await closed(client)
        await closed(server)

    run(main())
