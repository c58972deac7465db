"""The program's own sockets: sock_*, and waiting for descriptors with add_reader and add_writer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
import tempfile

import pytest

import boros


@contextlib.contextmanager
def pair(type_=socket.SOCK_STREAM):
    """Two connected sockets that do not block."""
    left, right = socket.socketpair(socket.AF_UNIX, type_)
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


def fill(sock) -> int:
    """Send until the kernel takes no more, and say how much it took."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(65536))
    return sent


@contextlib.contextmanager
def listener(family=socket.AF_INET, address=("127.0.0.1", 0), backlog=5):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
        yield sock


@pytest.fixture
def unix_path():
    with tempfile.TemporaryDirectory() as directory:
        yield f"{directory}/sock"


# Receiving


def test_data_that_is_there_is_received_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            right.send(b"hello")
            assert await loop.sock_recv(left, 3) == b"hel"
            buffer = bytearray(8)
            assert await loop.sock_recv_into(left, buffer) == 2
            assert buffer[:2] == b"lo"

    run(main())


@pytest.mark.parametrize("into", [False, True])
def test_receiving_waits_for_data(run, into):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            buffer = bytearray(8)
            receive = loop.sock_recv_into(left, buffer) if into else loop.sock_recv(left, 8)
            task = asyncio.create_task(receive)
            await asyncio.sleep(0)
            assert not task.done()
            right.send(b"late")
            got = await task
            if into:
                got = bytes(buffer[:got])
            assert got == b"late"
            assert not loop.remove_reader(left)

    run(main())


def test_the_end_of_the_stream_is_no_bytes(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            task = asyncio.create_task(loop.sock_recv(left, 8))
            await asyncio.sleep(0)
            right.close()
            assert await task == b""

    run(main())


def test_a_reset_connection_is_an_error_of_the_receiver(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listener() as server, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, server.getsockname())
            accepted, _ = await loop.sock_accept(server)
            task = asyncio.create_task(loop.sock_recv(client, 8))
            await asyncio.sleep(0)
            # Closed at once instead of in order.
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            with pytest.raises(ConnectionResetError):
                await task
            assert not loop.remove_reader(client)

    run(main())


def test_datagrams_keep_their_sender(run):
    async def main():
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            for sock in (one, two):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            task = asyncio.create_task(loop.sock_recvfrom(two, 64))
            await asyncio.sleep(0)
            assert await loop.sock_sendto(one, b"first", two.getsockname()) == 5
            assert await task == (b"first", one.getsockname())

            buffer = bytearray(64)
            task = asyncio.create_task(loop.sock_recvfrom_into(two, buffer))
            await asyncio.sleep(0)
            await loop.sock_sendto(one, b"second", two.getsockname())
            assert await task == (6, one.getsockname())
            assert buffer[:6] == b"second"

            await loop.sock_sendto(one, b"third", two.getsockname())
            assert await loop.sock_recvfrom_into(two, buffer, 2) == (2, one.getsockname())
            assert buffer[:6] == b"thcond"

    run(main())


def test_a_cancelled_receiver_leaves_no_watcher_and_takes_no_data(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            task = asyncio.create_task(loop.sock_recv(left, 8))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not loop.remove_reader(left)
            right.send(b"kept")
            assert await loop.sock_recv(left, 8) == b"kept"

    run(main())


@pytest.mark.parametrize("cancel_watches_first", [False, True])
def test_data_that_arrives_with_the_cancellation_is_not_lost(cancel_watches_first):
    # asyncio loses it: it receives in a callback, and the task is cancelled before it sees the result.
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right), left.dup() as twin:
            task = loop.create_task(loop.sock_recv(left, 8))
            if not cancel_watches_first:
                await asyncio.sleep(0)
            loop.add_reader(twin, task.cancel)
            await asyncio.sleep(0)
            right.send(b"kept")
            with pytest.raises(asyncio.CancelledError):
                await task
            loop.remove_reader(twin)
            assert await loop.sock_recv(left, 8) == b"kept"

    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        runner.run(main())


# Sending


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_everything_is_sent_though_the_peer_is_slow(run, kind):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * 8192
        with pair() as (left, right):
            task = asyncio.create_task(loop.sock_sendall(left, kind(data)))
            received = bytearray()
            while len(received) < len(data):
                received += await loop.sock_recv(right, 65536)
            assert await task is None
            assert received == data
            assert not loop.remove_writer(left)

    run(main())


def test_the_items_of_a_memoryview_may_be_larger_than_bytes(run, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio takes the number of items for the number of bytes")

    async def main():
        loop = asyncio.get_running_loop()
        data = memoryview(bytes(1 << 20)).cast("Q")
        with pair() as (left, right):
            task = asyncio.create_task(loop.sock_sendall(left, data))
            received = 0
            while received < data.nbytes:
                received += len(await loop.sock_recv(right, 65536))
            await task
            await loop.sock_sendall(left, memoryview(b"12345678").cast("Q"))
            assert await loop.sock_recv(right, 64) == b"12345678"

    run(main())


def test_nothing_is_sent_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, _):
            fill(left)
            await loop.sock_sendall(left, b"")

    run(main())


def test_a_peer_that_vanishes_in_the_middle_is_an_error_of_the_sender(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            task = asyncio.create_task(loop.sock_sendall(left, bytes(1 << 24)))
            await loop.sock_recv(right, 1)
            right.close()
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await task
            assert not loop.remove_writer(left)

    run(main())


def test_a_cancelled_sender_leaves_no_watcher_and_frees_its_buffer(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, _):
            data = bytearray(1 << 24)
            task = asyncio.create_task(loop.sock_sendall(left, data))
            await asyncio.sleep(0)
            with pytest.raises(BufferError):
                data.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not loop.remove_writer(left)
            del task
            gc.collect()
            data.clear()

    run(main())


def test_datagrams_wait_for_room(run):
    async def main():
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/datagrams"
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            ):
                receiver.bind(path)
                receiver.setblocking(False)
                sender.setblocking(False)
                sender.connect(path)
                queued = 0
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sender.send(b"x")
                        queued += 1
                task = asyncio.create_task(loop.sock_sendto(sender, b"last", path))
                await asyncio.sleep(0)
                assert not task.done()
                for _ in range(queued):
                    assert await loop.sock_recv(receiver, 8) == b"x"
                assert await task == 4
                assert await loop.sock_recv(receiver, 8) == b"last"

    run(main())


# Accepting and connecting


def test_connecting_and_accepting(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listener() as server, socket.socket() as client:
            client.setblocking(False)
            task = asyncio.create_task(loop.sock_accept(server))
            await asyncio.sleep(0)
            assert await loop.sock_connect(client, server.getsockname()) is None
            accepted, address = await task
            with accepted:
                assert accepted.gettimeout() == 0
                assert address == client.getsockname()
                await loop.sock_sendall(client, b"hi")
                assert await loop.sock_recv(accepted, 8) == b"hi"
            assert not loop.remove_reader(server)
            assert not loop.remove_writer(client)

    run(main())


def test_a_host_name_is_looked_up(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listener() as server, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("localhost", server.getsockname()[1]))
            accepted, _ = await loop.sock_accept(server)
            accepted.close()

    run(main())


def test_a_refused_connection_names_the_address(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as unused, socket.socket() as client:
            unused.bind(("127.0.0.1", 0))
            client.setblocking(False)
            address = unused.getsockname()
            with pytest.raises(ConnectionRefusedError, match="Connect call failed") as caught:
                await loop.sock_connect(client, address)
            assert repr(address) in str(caught.value)
            assert caught.value.errno == errno.ECONNREFUSED
            assert not loop.remove_writer(client)

    run(main())


def test_a_cancelled_connect_leaves_no_watcher(run):
    async def main():
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(listener(backlog=0))
            # Further attempts are not answered once the backlog is full.
            clients = []
            for _ in range(4):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                clients.append(client)
            tasks = [
                asyncio.create_task(loop.sock_connect(client, server.getsockname()))
                for client in clients
            ]
            done, pending = await asyncio.wait(tasks, timeout=0.05)
            assert done and pending
            for task in pending:
                task.cancel()
            await asyncio.wait(tasks)
            for client in clients:
                assert not loop.remove_writer(client)

    run(main())


def test_unix_sockets_are_connected(run, unix_path):
    async def main():
        loop = asyncio.get_running_loop()
        with listener(socket.AF_UNIX, unix_path) as server, socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await loop.sock_connect(client, unix_path)
            accepted, _ = await loop.sock_accept(server)
            accepted.close()

    run(main())


def test_a_full_backlog_of_a_unix_socket_is_waited_for(run, unix_path, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio says that the socket is connected, and it is not")

    async def main():
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(listener(socket.AF_UNIX, unix_path, backlog=0))
            tasks, clients = [], []
            for _ in range(3):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                clients.append(client)
                tasks.append(asyncio.create_task(loop.sock_connect(client, unix_path)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not tasks[-1].done()
            for _ in clients:
                accepted, _ = await loop.sock_accept(server)
                stack.enter_context(accepted)
            await asyncio.gather(*tasks)
            for client in clients:
                client.send(b"connected")

    run(main())


def test_a_cancelled_accept_takes_no_connection(run):
    async def main():
        loop = asyncio.get_running_loop()
        with listener() as server, socket.socket() as client:
            task = asyncio.create_task(loop.sock_accept(server))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not loop.remove_reader(server)
            client.setblocking(False)
            await loop.sock_connect(client, server.getsockname())
            accepted, _ = await loop.sock_accept(server)
            accepted.close()

    run(main())


# Bad input


CALLS = {
    "sock_recv": (8,),
    "sock_recv_into": (bytearray(8),),
    "sock_recvfrom": (8,),
    "sock_recvfrom_into": (bytearray(8),),
    "sock_sendall": (b"x",),
    "sock_sendto": (b"x", ("127.0.0.1", 9)),
    "sock_accept": (),
    "sock_connect": (("127.0.0.1", 9),),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_blocking_socket_is_refused_in_debug_mode(run, method):
    async def main():
        loop = asyncio.get_running_loop()
        with (
            socket.socket() as sock,
            pytest.raises(ValueError, match="the socket must be non-blocking"),
        ):
            await getattr(loop, method)(sock, *CALLS[method])

    run(main(), debug=True)


@pytest.mark.parametrize("method", CALLS)
def test_a_tls_socket_is_refused(run, method):
    async def main():
        loop = asyncio.get_running_loop()
        with ssl.create_default_context().wrap_socket(
            socket.socket(), server_hostname="localhost", do_handshake_on_connect=False
        ) as sock:
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await getattr(loop, method)(sock, *CALLS[method])

    run(main())


@pytest.mark.parametrize("method", CALLS)
def test_a_closed_socket_is_an_error(run, method):
    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.close()
        with pytest.raises(OSError) as caught:
            await getattr(loop, method)(sock, *CALLS[method])
        assert caught.value.errno == errno.EBADF

    run(main())


def test_data_that_is_no_buffer_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, _):
            with pytest.raises(TypeError, match="bytes-like"):
                await loop.sock_sendall(left, "text")
            with pytest.raises(TypeError):
                await loop.sock_recv_into(left, b"constant")

    run(main())


# Descriptors


def test_a_reader_is_called_for_as_long_as_there_is_data(run):
    async def main():
        loop = asyncio.get_running_loop()
        got = []
        with pair() as (left, right):
            finished = loop.create_future()

            def read(prefix):
                got.append(prefix + left.recv(1))
                if len(got) == 3:
                    finished.set_result(None)

            assert loop.add_reader(left, read, b">") is None
            right.send(b"abc")
            await finished
            assert got == [b">a", b">b", b">c"]
            assert loop.remove_reader(left) is True
            assert loop.remove_reader(left.fileno()) is False

    run(main())


def test_a_writer_is_called_while_there_is_room(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            fill(left)
            writable = loop.create_future()

            def write():
                assert loop.remove_writer(left)
                writable.set_result(left.send(b"x"))

            assert loop.add_writer(left.fileno(), write) is None
            await asyncio.sleep(0)
            assert not writable.done()
            while not writable.done():
                with contextlib.suppress(BlockingIOError):
                    right.recv(65536)
                await asyncio.sleep(0)
            assert writable.result() == 1

    run(main())


def test_the_last_reader_counts(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            called = loop.create_future()
            loop.add_reader(left, pytest.fail)
            loop.add_reader(left, lambda: called.done() or called.set_result(None))
            right.send(b"x")
            await called
            assert loop.remove_reader(left)

    run(main())


def test_a_reader_that_raises_is_reported_and_called_again(run, reports):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (left, right):
            called = loop.create_future()

            def read():
                if reports:
                    called.set_result(None)
                    loop.remove_reader(left)
                raise ArithmeticError

            loop.add_reader(left, read)
            right.send(b"x")
            await called

    run(main())
    assert [type(report["exception"]) for report in reports] == [ArithmeticError] * 2


def test_what_is_no_descriptor_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(ValueError, match="Invalid file object"):
                method(object(), print)
            with pytest.raises(ValueError, match="Invalid file descriptor"):
                method(-1, print)
            with tempfile.TemporaryFile() as file, pytest.raises(PermissionError):
                method(file, print)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(ValueError, match="Invalid file object"):
                method(object())

    run(main())


def test_nothing_is_watched_after_close(new_loop):
    loop = new_loop()
    with pair() as (left, _):
        loop.add_reader(left, print)
        loop.close()
        assert loop.remove_reader(left) is False
        assert loop.remove_writer(left) is False
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop.add_reader(left, print)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop.add_writer(left, print)
