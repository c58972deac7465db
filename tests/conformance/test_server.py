"""Servers: accepting connections, and how they end, on both loops."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import resource
import socket
import sys
import warnings

import pytest
from peers import LOCAL, Recorder, attach, bound, make_server


def connect(address):
    """A blocking socket that is connected."""
    return socket.create_connection(address[:2], timeout=5)


class Factory:
    """Makes recorders and keeps them."""

    def __init__(self):
        self.made = []
        self.more = asyncio.Event()

    def __call__(self):
        protocol = Recorder()
        self.made.append(protocol)
        self.more.set()
        return protocol

    async def has(self, count):
        """Wait until ``count`` protocols were made and connected."""
        while len([p for p in self.made if p.transport is not None]) < count:
            self.more.clear()
            # A protocol is made one turn before it is connected.
            await asyncio.sleep(0)
            if len(self.made) < count:
                await self.more.wait()


def test_a_connection_gets_a_protocol_and_a_transport(run):
    async def main():
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock)
        assert not server.is_serving()
        assert server.get_loop() is asyncio.get_running_loop()
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert server.sockets[0].getsockname() == address
        assert repr(server).startswith("<Server sockets=(<asyncio.TransportSocket fd=")
        with connect(address) as client:
            await factory.has(1)
            [protocol] = factory.made
            transport = protocol.transport
            assert transport.get_extra_info("sockname") == address
            assert transport.get_extra_info("peername") == client.getsockname()
            served = transport.get_extra_info("socket")
            assert served.gettimeout() == 0
            assert (served.family, served.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not served.get_inheritable()
            client.sendall(b"hello")
            await protocol.has(5)
            transport.write(b"welcome")
            await asyncio.sleep(0)
            assert client.recv(100) == b"welcome"
        assert await protocol.lost is None
        # Also when nobody had asked before.
        assert transport.get_extra_info("peername")[0] == LOCAL
        assert transport.get_extra_info("socket").fileno() == -1
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        assert server.sockets == ()
        assert sock.fileno() == -1

    run(main())


def test_addresses_are_known_after_the_connection_is_gone(run):
    async def main():
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock)
        await server.start_serving()
        client = connect(address)
        name = client.getsockname()
        client.close()
        await factory.has(1)
        [protocol] = factory.made
        await protocol.lost
        assert protocol.transport.get_extra_info("sockname") == address
        assert protocol.transport.get_extra_info("peername") == name
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_addresses_of_ipv6_have_four_parts(run):
    async def main():
        sock = socket.socket(socket.AF_INET6)
        sock.setblocking(False)
        try:
            sock.bind(("::1", 0))
        except OSError:
            sock.close()
            pytest.skip("no IPv6 address")
        factory = Factory()
        server = make_server(factory, sock)
        await server.start_serving()
        with connect(sock.getsockname()) as client:
            await factory.has(1)
            transport = factory.made[0].transport
            assert transport.get_extra_info("peername") == client.getsockname()
            assert transport.get_extra_info("sockname") == client.getpeername()
        await factory.made[0].lost
        server.close()
        await server.wait_closed()

    run(main())


def test_a_unix_server_names_its_path(run, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.bind(path)
        factory = Factory()
        server = make_server(factory, sock)
        await server.start_serving()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            await factory.has(1)
            transport = factory.made[0].transport
            assert transport.get_extra_info("sockname") == path
            assert transport.get_extra_info("peername") == ""
        await factory.made[0].lost
        assert transport.get_extra_info("sockname") == path
        server.close()
        await server.wait_closed()

    run(main())


def test_all_connections_that_wait_are_taken(run):
    async def main():
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock, backlog=64)
        await server.start_serving()
        clients = [connect(address) for _ in range(64)]
        await factory.has(64)
        for client in clients:
            client.close()
        for protocol in factory.made:
            await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


def test_a_factory_that_raises_is_reported_and_the_connection_closed(run, reports, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio reports it in debug mode only, and leaves the socket to the collector")

    class Oops(Exception):
        pass

    def factory():
        raise Oops

    async def main():
        sock, address = bound()
        server = make_server(factory, sock)
        await server.start_serving()
        for _ in range(2):
            with connect(address) as client:
                while not reports:
                    await asyncio.sleep(0)
                context = reports.pop()
                assert context["message"] == "Error on transport creation for incoming connection"
                assert isinstance(context["exception"], Oops)
                assert "protocol" not in context
                assert await asyncio.to_thread(client.recv, 1) == b""
        server.close()
        await server.wait_closed()

    run(main())


VARIABLE = contextvars.ContextVar("VARIABLE", default="nothing")


def test_each_connection_has_a_context_of_its_own(run):
    seen = []

    class Seeing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(("made", VARIABLE.get()))

        def data_received(self, data):
            super().data_received(data)
            seen.append(("data", VARIABLE.get()))

    async def main():
        sock, address = bound()
        factory = Factory()

        def make():
            seen.append(("factory", VARIABLE.get()))
            VARIABLE.set(f"connection {len(factory.made)}")
            protocol = Seeing()
            factory.made.append(protocol)
            factory.more.set()
            return protocol

        VARIABLE.set("server")
        server = make_server(make, sock)
        await server.start_serving()
        VARIABLE.set("later")
        for index in range(2):
            with connect(address) as client:
                client.sendall(b"x")
                await factory.has(index + 1)
                await factory.made[index].has(1)
            await factory.made[index].lost
        server.close()
        await server.wait_closed()

    run(main())
    assert seen == [
        (what, variable)
        for index in range(2)
        for what, variable in [
            ("factory", "server"),
            ("made", f"connection {index}"),
            ("data", f"connection {index}"),
        ]
    ]


def test_when_descriptors_run_out_accepting_rests_and_recovers(run, reports, monkeypatch):
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.05)

    async def main():
        loop = asyncio.get_running_loop()
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock, backlog=1)
        await server.start_serving()
        client = socket.socket()
        client.settimeout(5)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        reported = asyncio.Event()

        def handler(loop, context):
            reports.append(context)
            reported.set()

        loop.set_exception_handler(handler)
        # What is open goes on; a new descriptor is refused.
        limit = max(sock.fileno(), client.fileno()) + 1
        holes = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                while True:
                    holes.append(socket.socket())
            except OSError as full:
                assert full.errno == errno.EMFILE
            client.connect(address)
            await reported.wait()
            count = len(reports)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(reports) == count, "accepting did not rest"
            assert not factory.made
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for hole in holes:
                hole.close()
        context = reports[0]
        assert context["message"] == "socket.accept() out of system resource"
        assert context["exception"].errno == errno.EMFILE
        assert context["socket"].fileno() == sock.fileno()
        await factory.has(1)
        client.close()
        await factory.made[0].lost
        server.close()
        await server.wait_closed()

    run(main())


def test_a_server_that_closes_while_accepting_rests(new_loop, reports, monkeypatch, loop_kind):
    """Nothing is left that would accept on the number when it is used again."""
    if loop_kind == "asyncio":
        pytest.skip("asyncio goes on to listen on the closed socket, and reports that")
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.01)

    async def main():
        loop = asyncio.get_running_loop()
        sock, address = bound()
        server = make_server(Recorder, sock)
        await server.start_serving()
        client = socket.socket()
        reported = asyncio.Event()
        loop.set_exception_handler(lambda loop, context: (reports.append(context), reported.set()))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        holes = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                while True:
                    holes.append(socket.socket())
            except OSError:
                pass
            client.connect(address)
            await reported.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for hole in holes:
                hole.close()
        server.close()
        await server.wait_closed()
        client.close()
        await asyncio.sleep(0.03)
        assert len(reports) == 1

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def test_a_factory_may_close_the_server(run, reports, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio leaves a transport behind that is half made")

    async def main():
        sock, address = bound()
        closed = asyncio.Event()

        def make():
            server.close()
            closed.set()
            return Recorder()

        server = make_server(make, sock)
        await server.start_serving()
        clients = [connect(address) for _ in range(3)]
        await closed.wait()
        await asyncio.sleep(0)
        assert not server.is_serving()
        # A closed server takes no connection on.
        reports.clear()
        gc.collect()
        for client in clients:
            with client:
                try:
                    assert await asyncio.to_thread(client.recv, 1) == b""
                except ConnectionResetError:
                    # It was still waiting to be accepted.
                    pass

    run(main())


# How servers end


def test_a_server_that_listens_is_waited_for(run):
    async def main():
        sock, _ = bound()
        server = make_server(Recorder, sock)
        await server.start_serving()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0)
        assert not waiting.done()
        server.close()
        server.close()
        await waiting
        await server.wait_closed()

    run(main())


def test_a_closed_server_is_waited_for_while_it_has_connections(run):
    async def main():
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock)
        await server.start_serving()
        with connect(address):
            await factory.has(1)
            server.close()
            waiting = asyncio.create_task(server.wait_closed())
            for _ in range(3):
                await asyncio.sleep(0)
            # Up to 3.12.0, a closed server was not waited for.
            assert waiting.done() == (sys.version_info < (3, 12, 1))
            factory.made[0].transport.close()
            await waiting
        await factory.made[0].lost

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in 3.13")
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_the_connections_of_a_server_can_be_closed(run, how):
    async def main():
        sock, address = bound()
        factory = Factory()
        server = make_server(factory, sock)
        await server.start_serving()
        with connect(address) as one, connect(address) as two:
            await factory.has(2)
            for protocol in factory.made:
                protocol.transport.write(b"x" * 20_000_000)
                protocol.transport.pause_reading()
            server.close()
            getattr(server, how)()
            assert all(protocol.transport.is_closing() for protocol in factory.made)
            if how == "abort_clients":
                await server.wait_closed()
            else:
                assert not factory.made[0].lost.done()
                server.abort_clients()
                await server.wait_closed()
            assert all(protocol.lost.done() for protocol in factory.made)
            del one, two

    run(main())


def test_serve_forever_ends_when_it_is_cancelled(run):
    async def main():
        sock, _ = bound()
        server = make_server(Recorder, sock)
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="already being awaited on serve_forever"):
            await server.serve_forever()
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_serve_forever_ends_when_the_server_is_closed(run):
    async def main():
        sock, _ = bound()
        server = make_server(Recorder, sock)
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await forever

    run(main())


def test_a_server_is_a_context(run):
    async def main():
        sock, _ = bound()
        async with make_server(Recorder, sock) as server:
            await server.start_serving()
        assert not server.is_serving()
        assert sock.fileno() == -1

    run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="before, connections were counted, and this one stayed"
)
def test_a_forgotten_connection_does_not_keep_the_server(run):
    async def main():
        sock, address = bound()
        server = make_server(lambda: Forgetful(made), sock)
        made = asyncio.Event()
        await server.start_serving()
        with connect(address) as client:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await made.wait()
                await asyncio.sleep(0)
                gc.collect()
            assert any("unclosed transport" in str(w.message) for w in caught)
            server.close()
            await server.wait_closed()
            assert client.recv(1) == b""

    run(main())


class Forgetful(asyncio.Protocol):
    def __init__(self, made):
        self.made = made

    def connection_made(self, transport):
        transport.pause_reading()
        self.made.set()


def test_transports_on_both_ends(run):
    async def main():
        sock, address = bound()

        class Echo(Recorder):
            def data_received(self, data):
                self.transport.write(data)

        factory = []

        def make():
            factory.append(Echo())
            return factory[-1]

        server = make_server(make, sock)
        await server.start_serving()
        client = Recorder()
        loop = asyncio.get_running_loop()
        plain = await loop.run_in_executor(None, connect, address)
        transport = await attach(plain, client)
        for size in (1, 1000, 100_000, 1_000_000):
            del client.data[:]
            transport.write(bytes(size))
            await client.has(size)
            assert client.data == bytes(size)
        transport.close()
        await client.lost
        await factory[0].lost
        server.close()
        await server.wait_closed()

    run(main())
