"""Work in threads: the executor, and the name look-ups that run in it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import warnings
from asyncio import base_events
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from boros._part import Part

if TYPE_CHECKING:
    from socket import _GetAddrInfoResult
    from typing import TypeVarTuple

    _Ts = TypeVarTuple("_Ts")


_T = TypeVar("_T")


class Executor(Part):
    """The default executor of a loop, and what blocks and therefore runs there."""

    _default_executor: concurrent.futures.ThreadPoolExecutor | None
    _executor_shutdown_called: bool

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*_Ts], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Run ``func(*args)`` in ``executor``, or else in the default one, and return a future."""
        self._check_closed()
        if self.get_debug():
            self._check_callback(func, "run_in_executor")
        if executor is None:
            executor = self._default_executor
            self._check_default_executor()
            if executor is None:
                executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
                self._default_executor = executor
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def _check_default_executor(self) -> None:
        if self._executor_shutdown_called:
            raise RuntimeError("Executor shutdown has been called")

    def set_default_executor(  # type: ignore[override]
        self, executor: concurrent.futures.ThreadPoolExecutor
    ) -> None:
        """Have ``run_in_executor(None, …)`` use ``executor``, a ``ThreadPoolExecutor``."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Shut the default executor down and wait for its threads, at most ``timeout`` seconds.

        Warns with :exc:`RuntimeWarning` if that was not enough.
        """
        self._executor_shutdown_called = True
        if self._default_executor is None:
            return
        future = self.create_future()
        thread = threading.Thread(target=self._do_shutdown, args=(future,))
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            self._default_executor.shutdown(wait=False)
        else:
            thread.join()

    def _do_shutdown(self, future: asyncio.Future[None]) -> None:
        try:
            self._default_executor.shutdown(wait=True)  # type: ignore[union-attr]
            if not self.is_closed():
                self.call_soon_threadsafe(
                    asyncio.futures._set_result_unless_cancelled,  # type: ignore[attr-defined]
                    future,
                    None,
                )
        except Exception as failure:
            if not self.is_closed() and not future.cancelled():
                self.call_soon_threadsafe(future.set_exception, failure)

    # Names

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> _GetAddrInfoResult:
        """Look a name up, as :func:`socket.getaddrinfo` does; a numeric address needs no thread."""
        look_up = self._getaddrinfo_debug if self.get_debug() else base_events.socket.getaddrinfo  # type: ignore[attr-defined]
        if is_numeric(host, port):
            return look_up(host, port, family, type, proto, flags)
        return await self.run_in_executor(None, look_up, host, port, family, type, proto, flags)

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]:
        """Look an address up, as :func:`socket.getnameinfo` does."""
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        if flags & numeric == numeric and is_numeric(*sockaddr[:2]):
            return socket.getnameinfo(sockaddr, flags)
        return await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)

    def _getaddrinfo_debug(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int,
        type: int,
        proto: int,
        flags: int,
    ) -> _GetAddrInfoResult:
        wanted = [f"{host}:{port!r}"]  # type: ignore[str-bytes-safe]
        for name, value in (("family", family), ("type", type), ("proto", proto), ("flags", flags)):
            if value:
                wanted.append(f"{name}={value!r}")
        query = ", ".join(wanted)
        base_events.logger.debug("Get address info %s", query)  # type: ignore[attr-defined]
        start = self.time()
        addrinfo: _GetAddrInfoResult = base_events.socket.getaddrinfo(  # type: ignore[attr-defined]
            host, port, family, type, proto, flags
        )
        elapsed = self.time() - start
        message = f"Getting address info {query} took {elapsed * 1e3:.3f}ms: {addrinfo!r}"
        if elapsed >= self.slow_callback_duration:
            base_events.logger.info(message)  # type: ignore[attr-defined]
        else:
            base_events.logger.debug(message)  # type: ignore[attr-defined]
        return addrinfo


def is_numeric(host: object, port: object) -> bool:
    """Whether looking ``host`` and ``port`` up needs neither a file nor a server."""
    if isinstance(port, str | bytes) and not port.isdigit():
        return False
    if host is None:
        return True
    if isinstance(host, bytes):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    if not isinstance(host, str) or not host:
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            # A scope (fe80::1%eth0) is for getaddrinfo itself to resolve, without a server.
            socket.inet_pton(family, host.split("%", 1)[0])
        except (OSError, ValueError):
            continue
        return True
    return False
