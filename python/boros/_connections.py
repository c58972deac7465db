"""Connections and servers: sockets made, connected and bound, and handed to transports."""

from __future__ import annotations

import asyncio
import collections.abc
import functools
import os
import socket
import sys
from asyncio.log import logger

from boros import _happy_eyeballs
from boros._addresses import interleave as interleave_infos
from boros._addresses import numeric_info
from boros._binding import (
    bind_all,
    bind_local,
    bind_unix,
    is_abstract,
    name_path,
    socket_module,
)
from boros._server import Server
from boros._sockets import check_not_tls


class Connections:
    """The methods that make transports and servers.

    A socket that one of these methods made is closed when the method raises, whatever it raises. A
    socket that was passed in stays the caller's until a transport or a server has it.
    """

    # Streams

    async def create_connection(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        ssl=None,
        family=0,
        proto=0,
        flags=0,
        sock=None,
        local_addr=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        happy_eyeballs_delay=None,
        interleave=None,
        all_errors=False,
    ):
        """Connect to ``host`` and ``port``, or take the connected ``sock``; return transport and protocol.

        The addresses of the host are tried in turn; with ``happy_eyeballs_delay`` (in seconds), the next
        one also starts when the one before has not connected by then. If none connects, the exception
        tells all their errors, and with ``all_errors`` it is an :exc:`ExceptionGroup` of them.

        Raises :exc:`OSError` for what the network refuses and :exc:`ValueError` for arguments that
        contradict each other.
        """
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        if server_hostname is None and ssl and not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            check_not_tls(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        elif sock.type != socket.SOCK_STREAM:
            # Unix sockets too: programs pass them, though there is a method of their own.
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_no_tls(ssl)

        mine = sock is None
        if mine:
            if happy_eyeballs_delay is not None and interleave is None:
                interleave = 1
            sock = await self._connect_host(
                (host, port),
                local_addr,
                {
                    "family": family,
                    "type": socket.SOCK_STREAM,
                    "proto": proto,
                    "flags": flags,
                    "loop": self,
                },
                happy_eyeballs_delay,
                interleave,
                all_errors,
            )
        transport, protocol = await self._create_connection_transport(
            sock, protocol_factory, close_on_error=mine
        )
        if self.get_debug():
            sock = transport.get_extra_info("socket")
            logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
        return transport, protocol

    async def create_unix_connection(
        self,
        protocol_factory,
        path=None,
        *,
        ssl=None,
        sock=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Connect to the Unix socket at ``path``, or take the connected ``sock``.

        ``path`` is a str, bytes or path object; a name that starts with a zero byte is abstract.
        Returns a transport and a protocol.
        """
        if ssl:
            if server_hostname is None:
                raise ValueError("you have to pass server_hostname when using ssl")
        elif server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
        elif sock is None:
            raise ValueError("no path and sock were specified")
        else:
            check_unix_stream(sock)
        check_no_tls(ssl)

        mine = sock is None
        if mine:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self.sock_connect(sock, path)
            except BaseException as failure:
                sock.close()
                name_path(failure, path)
                raise
        return await self._create_connection_transport(sock, protocol_factory, close_on_error=mine)

    async def connect_accepted_socket(
        self,
        protocol_factory,
        sock,
        *,
        ssl=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Give a connection that was accepted elsewhere a transport and a protocol; return both."""
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        check_not_tls(sock)
        check_no_tls(ssl)
        transport, protocol = await self._create_connection_transport(sock, protocol_factory)
        if self.get_debug():
            sock = transport.get_extra_info("socket")
            logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
        return transport, protocol

    async def _create_connection_transport(self, sock, protocol_factory, *, close_on_error=False):
        try:
            sock.setblocking(False)
            protocol = protocol_factory()
            self._ensure_fd_no_transport(sock)
            waiter = self.create_future()
            transport = self._make_socket_transport(sock, protocol, waiter)
        except BaseException:
            if close_on_error:
                sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _connect_host(
        self, address, local_address, look_up, happy_eyeballs_delay, interleave, all_errors
    ):
        """Return a socket that is connected to one of the addresses of ``address``, a host and a port."""
        infos = await self._ensure_resolved(address, **look_up)
        if not infos:
            raise OSError("getaddrinfo() returned empty list")
        local_infos = None
        if local_address is not None:
            local_infos = await self._ensure_resolved(local_address, **look_up)
            if not local_infos:
                raise OSError("getaddrinfo() returned empty list")
        if interleave:
            infos = interleave_infos(infos, interleave)

        failures: list[list[OSError]] = []
        connect = functools.partial(self._connect_sock, failures, local_addr_infos=local_infos)
        try:
            if happy_eyeballs_delay is not None:
                sock = await _happy_eyeballs.race(self, connect, infos, happy_eyeballs_delay)
                if sock is not None:
                    return sock
            else:
                for info in infos:
                    try:
                        return await connect(info)
                    except OSError:
                        continue
            raise combined(sum(failures, []), all_errors)
        finally:
            # Exceptions refer to this frame.
            failures = connect = None

    async def _connect_sock(self, exceptions, addr_info, local_addr_infos=None):
        """Make, bind and connect one socket. What goes wrong is added to ``exceptions`` as a list."""
        failures: list[OSError] = []
        exceptions.append(failures)
        family, type_, proto, _, address = addr_info
        sock = None
        try:
            sock = socket_module().socket(family=family, type=type_, proto=proto)
            sock.setblocking(False)
            if local_addr_infos is not None:
                bind_local(sock, local_addr_infos, failures)
            await self.sock_connect(sock, address)
            return sock
        except BaseException as failure:
            if sock is not None:
                sock.close()
            if isinstance(failure, OSError):
                failures.append(failure)
            raise
        finally:
            exceptions = failures = None

    async def _ensure_resolved(
        self, address, *, family=0, type=socket.SOCK_STREAM, proto=0, flags=0, loop
    ):
        host, port = address[:2]
        info = numeric_info(host, port, family, type, proto, *address[2:])
        if info is not None:
            return [info]
        return await loop.getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    # Servers

    async def create_server(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        family=socket.AF_UNSPEC,
        flags=socket.AI_PASSIVE,
        sock=None,
        backlog=100,
        ssl=None,
        reuse_address=None,
        reuse_port=None,
        keep_alive=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
    ):
        """Listen on ``port`` of ``host``, or on the bound ``sock``, and return a server.

        ``host`` is a name, a sequence of names, or None or ``""`` for all interfaces. IPv4 and IPv6 have
        a socket each. Addresses that this machine does not have are left out if there is another.

        Raises :exc:`OSError` with the address if it is in use, and :exc:`ValueError` for arguments that
        contradict each other.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_tls_timeouts(ssl is not None, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            check_not_tls(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_no_tls(ssl)

        mine = sock is None
        if mine:
            options = []
            if reuse_address or reuse_address is None:
                options.append((socket.SOL_SOCKET, socket.SO_REUSEADDR))
            if keep_alive:
                options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            sockets = await self._bind_hosts(host, port, family, flags, options, reuse_port)
        else:
            sockets = [sock]
        server = await self._serve(sockets, protocol_factory, backlog, start_serving, mine)
        if self.get_debug():
            logger.info("%r is serving", server)
        return server

    async def create_unix_server(
        self,
        protocol_factory,
        path=None,
        *,
        sock=None,
        backlog=100,
        ssl=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
        cleanup_socket=sys.version_info >= (3, 13),
    ):
        """Listen on the Unix socket at ``path``, or on the bound ``sock``, and return a server.

        A socket that an earlier server left at ``path`` is replaced. With ``cleanup_socket``, which is the
        default from Python 3.13 on, the path is removed when the server is closed, unless somebody
        else has put a file there meanwhile.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_tls_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            check_unix_stream(sock)
        check_no_tls(ssl)

        mine = sock is None
        if mine:
            sock = bind_unix(path)
        try:
            if cleanup_socket:
                self._note_unix_path(sock)
        except BaseException:
            if mine:
                sock.close()
            raise
        return await self._serve([sock], protocol_factory, backlog, start_serving, mine)

    async def _serve(self, sockets, protocol_factory, backlog, start_serving, mine):
        """Make a server of bound sockets; ``mine`` says whether to close them if that fails."""
        try:
            for sock in sockets:
                sock.setblocking(False)
            server = Server(self, sockets, protocol_factory, backlog)
            if start_serving:
                server._start_serving()
        except BaseException:
            if mine:
                for sock in sockets:
                    self._stop_serving(sock)
            raise
        if start_serving:
            try:
                # Those who wait already get their turn before the server is handed out.
                await asyncio.sleep(0)
            except BaseException:
                server.close()
                raise
        return server

    async def _create_server_getaddrinfo(self, host, port, family, flags):
        infos = await self._ensure_resolved(
            (host, port), family=family, type=socket.SOCK_STREAM, flags=flags, loop=self
        )
        if not infos:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        return infos

    async def _bind_hosts(self, host, port, family, flags, options, reuse_port):
        """Return a bound socket for each address of ``host``."""
        if isinstance(host, str | bytes):
            hosts = [host or None]
        elif isinstance(host, collections.abc.Iterable):
            hosts = host
        else:
            hosts = [host]
        found = await asyncio.gather(
            *(self._create_server_getaddrinfo(name, port, family, flags) for name in hosts)
        )
        # Two names may mean the same address.
        infos = list(dict.fromkeys(info for infos in found for info in infos))
        return bind_all(infos, options, reuse_port, self.get_debug())

    # The paths of Unix servers

    @functools.cached_property
    def _unix_server_sockets(self) -> dict:
        """The sockets whose path goes with them: the path, and the inode that was there at first."""
        return {}

    def _note_unix_path(self, sock) -> None:
        path = sock.getsockname()
        if is_abstract(path):
            return
        try:
            self._unix_server_sockets[sock] = path, os.stat(path).st_ino
        except FileNotFoundError:
            # Somebody was faster, or it is relative to what was another directory then.
            return

    def _stop_serving(self, sock) -> None:
        path, inode = self._unix_server_sockets.pop(sock, (None, None))
        super()._stop_serving(sock)
        if path is None:
            return
        try:
            if os.stat(path).st_ino == inode:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as failure:
            logger.error("Unable to clean up listening UNIX socket %r: %r", path, failure)

    # What is to come

    async def start_tls(
        self,
        transport,
        protocol,
        sslcontext,
        *,
        server_side=False,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Raise :exc:`NotImplementedError`: boros cannot do TLS yet."""
        raise NotImplementedError("boros does not support TLS yet")

    async def sendfile(self, transport, file, offset=0, count=None, *, fallback=True):
        """Raise :exc:`NotImplementedError`: boros cannot send files yet."""
        raise NotImplementedError("boros does not support sendfile() yet")

    async def create_datagram_endpoint(
        self, protocol_factory, local_addr=None, remote_addr=None, **options
    ):
        """Raise :exc:`NotImplementedError`: boros has no datagram transports yet."""
        raise NotImplementedError("boros does not support datagram endpoints yet")

    async def connect_read_pipe(self, protocol_factory, pipe):
        """Raise :exc:`NotImplementedError`: boros has no pipe transports yet."""
        raise NotImplementedError("boros does not support pipes yet")

    async def connect_write_pipe(self, protocol_factory, pipe):
        """Raise :exc:`NotImplementedError`: boros has no pipe transports yet."""
        raise NotImplementedError("boros does not support pipes yet")

    async def subprocess_shell(self, protocol_factory, cmd, **options):
        """Raise :exc:`NotImplementedError`: boros cannot run subprocesses yet."""
        raise NotImplementedError("boros does not support subprocesses yet")

    async def subprocess_exec(self, protocol_factory, *args, **options):
        """Raise :exc:`NotImplementedError`: boros cannot run subprocesses yet."""
        raise NotImplementedError("boros does not support subprocesses yet")


# Checks


def check_tls_timeouts(tls, handshake, shutdown) -> None:
    """Raise :exc:`ValueError` for timeouts of TLS where there is none."""
    if tls:
        return
    for name, value in (("ssl_handshake_timeout", handshake), ("ssl_shutdown_timeout", shutdown)):
        if value is not None:
            raise ValueError(f"{name} is only meaningful with ssl")


def check_no_tls(tls) -> None:
    """Raise :exc:`NotImplementedError` where TLS was asked for."""
    if tls:
        raise NotImplementedError("boros does not support TLS (the ssl argument) yet")


def check_unix_stream(sock) -> None:
    """Raise :exc:`ValueError` for what is not a Unix stream socket."""
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def combined(failures, as_group) -> Exception:
    """The exception that stands for all the failed attempts to connect."""
    if as_group:
        return ExceptionGroup("create_connection failed", failures)
    texts = [str(failure) for failure in failures]
    if all(text == texts[0] for text in texts):
        return failures[0]
    return OSError(f"Multiple exceptions: {', '.join(texts)}")
