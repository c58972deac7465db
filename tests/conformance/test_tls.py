"""TLS: handshakes, certificates, data, the ways a connection ends, start_tls."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import random
import socket
import ssl
import tempfile
import weakref

import aiohttp
import aiohttp.web
import pytest
from certificates import client_context, server_context
from peers import LOCAL, Recorder, tcp_pair

import boros

MEGABYTE = 1 << 20


@pytest.fixture
def boros_run():
    """Like ``run``, for what asyncio gets wrong."""

    def run(main):
        with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
            return runner.run(main)

    return run


class Server:
    """A server whose protocols are kept."""

    def __init__(self, factory=Recorder):
        self.factory = factory
        self.accepted = asyncio.Queue()

    def __call__(self):
        protocol = self.factory()
        made = protocol.connection_made

        def connection_made(transport):
            made(transport)
            self.accepted.put_nowait(protocol)

        protocol.connection_made = connection_made
        return protocol


@contextlib.asynccontextmanager
async def serving(context=None, factory=Recorder, **options):
    """A server of TLS: its address, and a queue of the protocols whose handshake is done."""
    loop = asyncio.get_running_loop()
    kept = Server(factory)
    server = await loop.create_server(
        kept, LOCAL, 0, ssl=server_context() if context is None else context, **options
    )
    try:
        yield server.sockets[0].getsockname(), kept.accepted
    finally:
        server.close()
        await server.wait_closed()
        # On Python 3.11 handshakes that failed may not have been told yet.
        await quiet()


async def connect(address, context=None, factory=Recorder, server_hostname="localhost", **options):
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(
        factory,
        *address,
        ssl=client_context() if context is None else context,
        server_hostname=server_hostname,
        **options,
    )
    return protocol


async def finish(*protocols):
    """Close connections and wait until they are."""
    for protocol in protocols:
        protocol.transport.close()
    for protocol in protocols:
        await protocol.lost


class Engine:
    """TLS by hand over a stream: what a peer does that asyncio does not."""

    def __init__(self, context, reader, writer, **options):
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, **options)

    async def do(self, method, *args, prefix=b""):
        while True:
            try:
                result = method(*args)
            except ssl.SSLWantReadError:
                self.send(prefix)
                prefix = b""
                data = await self.reader.read(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            else:
                self.send(prefix)
                return result

    def send(self, prefix=b""):
        data = prefix + self.outgoing.read()
        if data:
            self.writer.write(data)


# Handshakes


def test_a_connection_is_encrypted(run):
    async def main():
        context, asked = server_context(), client_context()
        async with serving(context) as (address, accepted):
            left = await connect(address, asked)
            right = await accepted.get()
            for protocol, own in ((left, asked), (right, context)):
                transport = protocol.transport
                assert isinstance(transport, asyncio.Transport)
                assert transport.get_protocol() is protocol
                assert transport.get_extra_info("sslcontext") is own
                assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
                assert transport.get_extra_info("cipher")[1].startswith("TLSv1.")
                assert transport.get_extra_info("compression") is None
                assert transport.get_extra_info("nothing", 3) == 3
            names = dict(left.transport.get_extra_info("peercert"))["subjectAltName"]
            assert ("DNS", "one.example") in names
            assert right.transport.get_extra_info("peercert") is None
            assert left.transport.get_extra_info("peername") == address
            assert right.transport.get_extra_info("sockname") == address
            assert left.transport.get_extra_info("socket").fileno() > 0

            left.transport.write(b"ping")
            left.transport.writelines([b"-", bytearray(b"pong")])
            await right.has(9)
            right.transport.write(memoryview(b"back"))
            await left.has(4)
            assert (right.data, left.data) == (b"ping-pong", b"back")
            await finish(left, right)
            assert left.lost.result() is None and right.lost.result() is None
            # Who closes first is not told of the end of what the other has to say.
            assert right.calls == ["made", "data", "eof", "lost"]

    run(main())


def test_the_kernel_sees_no_plain_text(run):
    async def main():
        secret = b"secret" * 20
        with socket.create_server((LOCAL, 0)) as listener:
            loop = asyncio.get_running_loop()
            connecting = loop.create_task(connect(listener.getsockname()))
            listener.setblocking(False)
            sock, _ = await loop.sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=sock)
            seen = bytearray()
            feed = reader.feed_data

            def feed_data(data):
                seen.extend(data)
                feed(data)

            reader.feed_data = feed_data
            engine = Engine(server_context(), reader, writer, server_side=True)
            await engine.do(engine.object.do_handshake)
            client = await connecting
            client.transport.write(secret)
            assert await engine.do(engine.object.read, 1000) == secret
            assert len(seen) > len(secret) and b"secret" not in seen
            client.transport.abort()
            await client.lost
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run(main())


def test_the_server_is_told_the_name(run):
    async def main():
        named = []
        other = server_context("two.example")
        context = server_context()

        def choose(ssl_object, name, _):
            named.append(name)
            if name == "two.example":
                ssl_object.context = other

        context.sni_callback = choose
        async with serving(context) as (address, accepted):
            for name in ("one.example", "two.example"):
                client = await connect(address, server_hostname=name)
                names = dict(client.transport.get_extra_info("peercert"))["subjectAltName"]
                assert ("DNS", name) in names
                await finish(client, await accepted.get())
        assert named == ["one.example", "two.example"]

    run(main())


def test_the_host_is_the_name_unless_another_is_given(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with serving() as ((_, port), accepted):
            _, client = await loop.create_connection(Recorder, LOCAL, port, ssl=client_context())
            await finish(client, await accepted.get())
            # None at all asks for no check.
            unchecked = client_context()
            unchecked.check_hostname = False
            client = await connect((LOCAL, port), unchecked, server_hostname="")
            await finish(client, await accepted.get())

    run(main())


def test_true_stands_for_the_default_context(run):
    async def main():
        async with serving() as (address, _):
            # Our authority is not among those that it trusts.
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(address, True)

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_show_certificates(run, version):
    async def main():
        async with serving(server_context(asks=True)) as (address, accepted):
            context = client_context("somebody@one.example")
            context.maximum_version = context.minimum_version = version
            client = await connect(address, context)
            server = await accepted.get()
            names = dict(server.transport.get_extra_info("peercert"))["subjectAltName"]
            assert names == (("email", "somebody@one.example"),)
            await finish(client, server)

            context = client_context()
            context.maximum_version = context.minimum_version = version
            if version == ssl.TLSVersion.TLSv1_2:
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    await connect(address, context)
            else:
                # Its part of the handshake is over before the server looks at it.
                client = await connect(address, context)
                await client.lost
            assert accepted.empty()

    run(main())


def test_protocols_are_negotiated(run):
    async def main():
        context, asked = server_context(), client_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        asked.set_alpn_protocols(["http/1.1", "ftp"])
        async with serving(context) as (address, accepted):
            client, server = await connect(address, asked), await accepted.get()
            for protocol in (client, server):
                engine = protocol.transport.get_extra_info("ssl_object")
                assert engine.selected_alpn_protocol() == "http/1.1"
            await finish(client, server)

    run(main())


def test_a_certificate_for_another_name_is_refused(run):
    async def main():
        async with serving() as (address, accepted):
            with pytest.raises(ssl.SSLCertVerificationError, match=r"three\.example") as caught:
                await connect(address, server_hostname="three.example")
            assert caught.value.verify_code == 62
            assert isinstance(caught.value, ssl.CertificateError)
            assert accepted.empty()

    run(main())


def test_an_authority_that_is_not_trusted_is_refused(run):
    async def main():
        async with serving() as (address, accepted):
            with pytest.raises(ssl.SSLCertVerificationError) as caught:
                await connect(address, ssl.create_default_context())
            assert caught.value.verify_code in (18, 19, 20)
            assert accepted.empty()

    run(main())


def test_versions_that_do_not_meet_are_an_error(run):
    async def main():
        old, new = server_context(), client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        new.minimum_version = ssl.TLSVersion.TLSv1_3
        async with serving(old) as (address, accepted):
            # asyncio keeps the alert to itself.
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await connect(address, new)
            assert accepted.empty()

    run(main())


def test_the_peer_is_told_why_a_handshake_failed(boros_run):
    async def main():
        old, new = server_context(), client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        new.minimum_version = ssl.TLSVersion.TLSv1_3
        async with serving(old) as (address, _):
            with pytest.raises(ssl.SSLError) as caught:
                await connect(address, new)
            assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"

    boros_run(main())


def test_a_peer_that_speaks_plain_text_is_an_error(run):
    async def main():
        async def answer(reader, writer):
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, LOCAL, 0)
        with pytest.raises(ssl.SSLError) as caught:
            await connect(server.sockets[0].getsockname())
        assert caught.value.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        server.close()
        await server.wait_closed()
        await quiet()

    run(main())


async def quiet():
    """Wait until the other tasks are done."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)


def test_a_client_that_speaks_plain_text_is_dropped(run):
    async def main():
        async with serving() as (address, accepted):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
            assert accepted.empty()

    run(main())


def test_a_peer_that_leaves_during_the_handshake_is_an_error(run):
    async def main():
        async def leave(reader, writer):
            await reader.read(100000)
            writer.close()

        server = await asyncio.start_server(leave, LOCAL, 0)
        with pytest.raises(ConnectionResetError):
            await connect(server.sockets[0].getsockname())
        server.close()
        await server.wait_closed()

    run(main())


# Timeouts


def test_a_handshake_may_take_too_long_for_the_client(run):
    async def main():
        with socket.create_server((LOCAL, 0)) as silent:
            message = "SSL handshake is taking longer than 0.05 seconds"
            with pytest.raises(ConnectionAbortedError, match=message):
                await connect(silent.getsockname(), ssl_handshake_timeout=0.05)

    run(main())


def test_a_handshake_may_take_too_long_for_the_server(run):
    async def main():
        async with serving(ssl_handshake_timeout=0.05) as (address, accepted):
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert accepted.empty()

    run(main())


def test_the_end_of_a_connection_may_take_too_long(run):
    async def main():
        async with serving() as (address, accepted):
            client = await connect(address, ssl_shutdown_timeout=0.05)
            server = await accepted.get()
            # It hears of nothing any more.
            server.transport._ssl_protocol._transport.pause_reading()
            client.transport.close()
            assert client.transport.is_closing()
            failure = await client.lost
            assert isinstance(failure, TimeoutError)
            assert "SSL shutdown timed out" in str(failure)
            server.transport.abort()
            await server.lost

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1.5])
def test_timeouts_are_positive(run, name, value):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = tcp_pair()
        with right, left:
            options = {"ssl": client_context(), "server_hostname": "x", name: value}
            with pytest.raises(ValueError, match=f"{name} should be a positive number"):
                await loop.create_connection(Recorder, sock=left, **options)

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_a_server_says_at_once_that_a_timeout_makes_no_sense(boros_run, name):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=f"{name} should be a positive number"):
            await loop.create_server(Recorder, LOCAL, 0, ssl=server_context(), **{name: 0})

    boros_run(main())


def test_a_context_has_to_be_given_to_the_server_side(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = tcp_pair()
        with right, left:
            with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
                await loop.connect_accepted_socket(Recorder, left, ssl=True)

    run(main())


# Failures on the server's side


@pytest.mark.parametrize("debug", [False, True])
def test_failed_handshakes_are_reported_in_debug_mode_only(run, reports, debug):
    async def main():
        async with serving() as (address, _):
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(address, ssl.create_default_context())
            while debug and not reports:
                await asyncio.sleep(0)

    run(main(), debug=debug)
    if not debug:
        assert reports == []
        return
    [report] = reports
    assert report["message"] == "Error on transport creation for incoming connection"
    assert isinstance(report["exception"], ssl.SSLError | ConnectionResetError)
    assert isinstance(report["protocol"], Recorder)
    assert isinstance(report["transport"], asyncio.Transport)


def test_a_handshake_under_way_ends_with_the_program(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        begun = loop.create_future()
        context = server_context()

        class Begins(Recorder):
            def __init__(self):
                super().__init__()
                begun.set_result(None)

        server = await loop.create_server(Begins, LOCAL, 0, ssl=context)
        client = socket.create_connection(server.sockets[0].getsockname())
        await begun
        server.close()
        return client

    with asyncio.Runner(loop_factory=new_loop) as runner:
        client = runner.run(main())
    with client:
        client.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_protocols_that_raise_are_reported_and_disconnected(run, reports):
    class Raises(Recorder):
        def data_received(self, data):
            raise LookupError("no")

    async def main():
        async with serving(factory=Raises) as (address, accepted):
            client, server = await connect(address), await accepted.get()
            client.transport.write(b"x")
            assert isinstance(await server.lost, LookupError)
            await client.lost

    run(main())
    assert any(isinstance(report["exception"], LookupError) for report in reports)


# Data


def test_much_data_goes_both_ways_at_once(run):
    data = random.Random(7).randbytes(MEGABYTE)
    times = 8

    class Hashes(Recorder):
        def __init__(self):
            super().__init__()
            self.size, self.hash = 0, hashlib.sha256()

        def data_received(self, data):
            self.size += len(data)
            self.hash.update(data)
            self.arrived.set()

        async def send(self):
            for _ in range(times):
                self.transport.write(data)
                while self.calls.count("pause") > self.calls.count("resume"):
                    self.resumed.clear()
                    await self.resumed.wait()

        async def receive(self):
            while self.size < times * len(data):
                self.arrived.clear()
                await self.arrived.wait()
            return self.hash.hexdigest()

    async def main():
        async with serving(factory=Hashes) as (address, accepted):
            client = await connect(address, factory=Hashes)
            server = await accepted.get()
            _, _, one, two = await asyncio.gather(
                client.send(), server.send(), client.receive(), server.receive()
            )
            assert one == two == hashlib.sha256(data * times).hexdigest()
            await finish(client, server)

    run(main())


@pytest.mark.parametrize("kind", [bytearray, lambda size: memoryview(bytearray(size))])
def test_a_protocol_may_lend_its_buffer(run, loop_kind, kind):
    if loop_kind == "asyncio" and kind is bytearray:
        pytest.skip("asyncio loses what it reads into the copy of a slice")

    class Lends(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer, self.data = kind(1000), bytearray()
            self.done = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = transport

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, count):
            self.data += self.buffer[:count]

        def connection_lost(self, exc):
            self.done.set_result(exc)

    async def main():
        data = random.Random(8).randbytes(300_000)
        async with serving(factory=Lends) as (address, accepted):
            client = await connect(address)
            server = await accepted.get()
            client.transport.write(data)
            client.transport.close()
            await client.lost
            assert await server.done is None
            assert server.data == data

    run(main())


def test_a_slow_reader_holds_up_the_writer(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            server.transport.pause_reading()
            assert not server.transport.is_reading()
            sent = 0
            while not client.paused.is_set():
                client.transport.write(b"x" * MEGABYTE)
                sent += MEGABYTE
            assert client.transport.get_write_buffer_size() > 0
            assert server.data == b""
            server.transport.resume_reading()
            await server.has(sent)
            await client.resumed.wait()
            assert client.transport.get_write_buffer_size() == 0
            assert len(server.data) == sent
            await finish(client, server)

    run(main())


def test_limits_of_the_buffers(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            client.transport.set_write_buffer_limits(high=1000)
            assert client.transport.get_write_buffer_limits() == (250, 1000)
            with pytest.raises(ValueError, match="must be >= low"):
                client.transport.set_write_buffer_limits(high=1, low=2)
            await finish(client, server)

    run(main())


def test_what_cannot_be_written(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            with pytest.raises(TypeError, match="bytes-like"):
                client.transport.write("text")
            assert not client.transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                client.transport.write_eof()
            await finish(client, server)
            client.transport.write(b"too late")

    run(main())


# Ends


def test_what_was_written_is_sent_before_the_end(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            data = random.Random(9).randbytes(3 * MEGABYTE)
            client.transport.write(data)
            client.transport.close()
            assert client.transport.is_closing()
            assert await server.lost is None
            assert await client.lost is None
            assert server.data == data
            assert "eof" in server.calls

    run(main())


def test_an_abort_ends_both_sides(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            client.transport.write(b"x" * MEGABYTE)
            client.transport.abort()
            assert await client.lost is None
            await server.lost
            assert len(server.data) < MEGABYTE
            client.transport.abort()

    run(main())


def test_the_end_of_the_socket_is_the_end(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            client.transport.write(b"last words")
            await server.has(10)
            # Without a word of TLS, as a program that was killed.
            client.transport.get_extra_info("socket")._sock.shutdown(socket.SHUT_WR)
            assert await server.lost is None
            assert server.data == b"last words"
            await client.lost

    run(main())


def test_a_reset_ends_the_connection(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            sock = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.transport.abort()
            await client.lost
            assert isinstance(await server.lost, ConnectionResetError)

    run(main())


def test_a_client_that_closed_does_not_go_on_downloading(run):
    class Pours(Recorder):
        written = 0

        def pour(self):
            while not self.paused.is_set() and not self.transport.is_closing():
                self.transport.write(bytes(65536))
                self.written += 65536

        def resume_writing(self):
            self.paused.clear()
            self.pour()

    async def main():
        async with serving(factory=Pours) as (address, accepted):
            client, server = await connect(address), await accepted.get()
            server.pour()
            await client.has(MEGABYTE)
            client.transport.close()
            size = len(client.data)
            await client.lost
            await server.lost
            # What had arrived already may still be told.
            assert len(client.data) - size <= MEGABYTE
            assert server.written < 32 * MEGABYTE

    run(main())


def test_a_paused_client_can_close(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            client.transport.pause_reading()
            while not server.paused.is_set():
                server.transport.write(bytes(MEGABYTE))
            client.transport.close()
            await client.lost
            await server.lost
            assert client.data == b""

    run(main())


def test_nothing_keeps_a_connection_that_has_ended(run):
    async def main():
        async with serving() as (address, accepted):
            client, server = await connect(address), await accepted.get()
            left = [weakref.ref(item) for item in (client, server, client.transport)]
            await finish(client, server)
            del client, server
            await asyncio.sleep(0)
            gc.collect()
            assert [item() for item in left] == [None] * 3

    run(main())


def test_many_connect_at_once(run):
    async def main():
        async with serving() as (address, accepted):
            context = client_context()
            clients = await asyncio.gather(*(connect(address, context) for _ in range(50)))
            servers = [await accepted.get() for _ in clients]
            for number, client in enumerate(clients):
                client.transport.write(b"%d" % number)
            for server in servers:
                await server.has(1)
            for client in clients:
                client.transport.close()
            for protocol in servers + clients:
                await protocol.lost
            assert sorted(int(server.data) for server in servers) == list(range(50))

    run(main())


# start_tls


async def upgrade(protocol, context, **options):
    """Do TLS from now on."""
    loop = asyncio.get_running_loop()
    protocol.transport = await loop.start_tls(protocol.transport, protocol, context, **options)


async def plain_pair(make=tcp_pair):
    loop = asyncio.get_running_loop()
    left, right = make()
    _, client = await loop.create_connection(Recorder, sock=left)
    _, server = await loop.connect_accepted_socket(Recorder, right)
    return client, server


async def upgrade_both(client, server):
    await asyncio.gather(
        upgrade(client, client_context(), server_hostname="localhost"),
        upgrade(server, server_context(), server_side=True),
    )


async def exchange(client, server):
    """Both say something and hear it."""
    for one, other in ((client, server), (server, client)):
        expected = len(other.data) + 5
        one.transport.write(b"hello")
        await other.has(expected)
        assert other.data.endswith(b"hello")


def test_a_connection_is_upgraded(run, pair):
    async def main():
        client, server = await plain_pair(pair)
        await exchange(client, server)
        before = client.transport
        await upgrade_both(client, server)
        assert client.transport is not before
        assert client.transport.get_protocol() is client
        assert client.transport.get_extra_info("ssl_object") is not None
        await exchange(client, server)
        # It has been made before.
        assert client.calls.count("made") == server.calls.count("made") == 1
        await finish(client, server)

    run(main())


def test_tls_in_tls(run):
    async def main():
        client, server = await plain_pair()
        for _ in range(3):
            await upgrade_both(client, server)
            await exchange(client, server)
        data = random.Random(10).randbytes(MEGABYTE)
        expected = len(server.data) + len(data)
        client.transport.write(data)
        await server.has(expected)
        assert server.data.endswith(data)
        await finish(client, server)

    run(main())


def test_what_was_written_before_goes_out_in_plain_text(run):
    async def main():
        client, server = await plain_pair()
        client.transport.write(b"plain")
        upgrading = asyncio.ensure_future(
            upgrade(client, client_context(), server_hostname="localhost")
        )
        await server.has(5)
        assert server.data == b"plain"
        await upgrade(server, server_context(), server_side=True)
        await upgrading
        await exchange(client, server)
        await finish(client, server)

    run(main())


def test_a_handshake_that_came_early_is_not_lost(boros_run):
    async def main():
        handled = asyncio.get_running_loop().create_future()

        async def handle(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            # What is in store already would be lost with asyncio of before 2026.
            assert reader._buffer
            await writer.start_tls(server_context())
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()
            handled.set_result(None)

        server = await asyncio.start_server(handle, LOCAL, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        engine = Engine(client_context(), reader, writer, server_hostname="localhost")
        await engine.do(engine.object.do_handshake, prefix=b"STARTTLS\n")
        engine.object.write(b"hello\n")
        assert await engine.do(engine.object.read, 100) == b"hello\n"
        await engine.do(engine.object.unwrap)
        await handled
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    boros_run(main())


def test_a_writer_that_was_held_up_goes_on_after_the_upgrade(boros_run):
    async def main():
        client, server = await plain_pair()
        server.transport.pause_reading()
        sent = 0
        while not client.paused.is_set():
            client.transport.write(bytes(MEGABYTE))
            sent += MEGABYTE
        upgrading = asyncio.ensure_future(
            upgrade(client, client_context(), server_hostname="localhost")
        )
        await asyncio.sleep(0)
        # Byte for byte, for what follows is not for this protocol.
        sock = server.transport.get_extra_info("socket")._sock
        received = 0
        while received < sent:
            try:
                received += len(sock.recv(min(65536, sent - received)))
            except BlockingIOError:
                await asyncio.sleep(0)
        await upgrade(server, server_context(), server_side=True)
        await upgrading
        await client.resumed.wait()
        await exchange(client, server)
        await finish(client, server)

    boros_run(main())


def test_an_upgrade_that_fails_closes_the_connection(run):
    async def main():
        client, server = await plain_pair()
        results = await asyncio.gather(
            upgrade(client, client_context(), server_hostname="three.example"),
            upgrade(server, server_context(), server_side=True),
            return_exceptions=True,
        )
        assert isinstance(results[0], ssl.SSLCertVerificationError)
        assert client.transport.is_closing()
        server.transport.close()
        for protocol in (client, server):
            # Connections that have got so far are told of their end, in one version or another.
            assert protocol.transport.is_closing()

    run(main())


def test_an_upgrade_can_be_cancelled(run):
    async def main():
        client, server = await plain_pair()
        upgrading = asyncio.ensure_future(
            upgrade(client, client_context(), server_hostname="localhost")
        )
        await server.has(100)
        upgrading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upgrading
        assert client.transport.is_closing()
        await server.lost

    run(main())


def test_an_upgrade_may_take_too_long(run):
    async def main():
        client, server = await plain_pair()
        with pytest.raises(ConnectionAbortedError, match="taking longer than 0.05 seconds"):
            await upgrade(
                client, client_context(), server_hostname="localhost", ssl_handshake_timeout=0.05
            )
        await server.lost

    run(main())


def test_arguments_of_start_tls(run):
    async def main():
        loop = asyncio.get_running_loop()
        client, server = await plain_pair()
        with pytest.raises(TypeError, match=r"sslcontext is expected to be .* ssl.SSLContext"):
            await loop.start_tls(client.transport, client, True)
        with pytest.raises(TypeError, match=r"transport .* is not supported by start_tls"):
            await loop.start_tls(asyncio.Transport(), client, client_context())
        await exchange(client, server)
        await finish(client, server)

    run(main())


# Other sockets


def test_tls_over_a_unix_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            kept = Server()
            server = await loop.create_unix_server(kept, path, ssl=server_context())
            _, client = await loop.create_unix_connection(
                Recorder, path, ssl=client_context(), server_hostname="localhost"
            )
            accepted = await kept.accepted.get()
            await exchange(client, accepted)
            await finish(client, accepted)
            server.close()
            await server.wait_closed()

    run(main())


def test_sockets_that_stand_already(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = pair()
        (_, server), (_, client) = await asyncio.gather(
            loop.connect_accepted_socket(Recorder, left, ssl=server_context()),
            loop.create_connection(
                Recorder, sock=right, ssl=client_context(), server_hostname="localhost"
            ),
        )
        await exchange(client, server)
        await finish(client, server)

    run(main())


# What is built on it


def test_streams(run):
    async def main():
        async def handle(reader, writer):
            while line := await reader.readline():
                writer.write(line[::-1])
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, LOCAL, 0, ssl=server_context())
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(), server_hostname="localhost"
        )
        assert writer.get_extra_info("ssl_object").version().startswith("TLSv1")
        writer.write(b"abc\n")
        await writer.drain()
        assert await reader.readexactly(4) == b"\ncba"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await quiet()

    run(main())


def test_streams_are_upgraded(run):
    async def main():
        async def handle(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go\n")
            await writer.start_tls(server_context())
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, LOCAL, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await quiet()

    run(main())


def test_aiohttp_over_https(run):
    body = random.Random(11).randbytes(MEGABYTE // 2)

    async def echo(request):
        return aiohttp.web.Response(body=await request.read())

    async def main():
        application = aiohttp.web.Application(client_max_size=MEGABYTE)
        application.router.add_post("/", echo)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, LOCAL, 0, ssl_context=server_context()).start()
        url = f"https://localhost:{runner.addresses[0][1]}/"
        connector = aiohttp.TCPConnector(ssl=client_context())
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask():
                async with session.post(url, data=body) as response:
                    assert response.status == 200
                    assert await response.read() == body

            for _ in range(2):
                await asyncio.gather(*(ask() for _ in range(4)))
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.post(url, data=b"", server_hostname="three.example")
        await runner.cleanup()

    run(main())


def test_a_subclass_of_the_loop_can_replace_the_engine():
    made = []

    class Loop(boros.EventLoop):
        def _make_ssl_transport(self, *args, **options):
            made.append(options["server_hostname"])
            return super()._make_ssl_transport(*args, **options)

    async def main():
        async with serving() as (address, accepted):
            client = await connect(address)
            await finish(client, await accepted.get())

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert made == ["localhost"]
