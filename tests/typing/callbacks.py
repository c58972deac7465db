"""Callbacks: their arguments are checked against what is passed along."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import socket
from typing import Any, assert_type

import boros


def two(number: int, text: str) -> None:
    print(number, text)


def length(text: str) -> int:
    return len(text)


def schedule(loop: boros.EventLoop) -> None:
    context = contextvars.copy_context()
    handle: asyncio.Handle = loop.call_soon(two, 1, "one", context=context)
    timer: asyncio.TimerHandle = loop.call_later(0.5, two, 1, "one")
    loop.call_at(loop.time() + 1, print, 1, "one", None)
    loop.call_soon_threadsafe(loop.stop)
    assert_type(timer.when(), float)
    assert_type(handle.cancelled(), bool)
    timer.cancel()
    loop.call_soon(two, 1)  # type: ignore[arg-type]
    loop.call_soon(two, "one", 1)  # type: ignore[arg-type]
    loop.call_soon(loop.stop, 1)  # type: ignore[arg-type]
    loop.call_later(0.5, two, 1)  # type: ignore[arg-type]
    loop.call_later("soon", loop.stop)  # type: ignore[arg-type]
    loop.call_at(1.0, two, "one", 1)  # type: ignore[arg-type]
    loop.call_soon_threadsafe(two)  # type: ignore[arg-type]
    loop.call_soon(1)  # type: ignore[arg-type]


async def in_threads(loop: boros.EventLoop) -> None:
    assert_type(await loop.run_in_executor(None, length, "one"), int)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        assert_type(await loop.run_in_executor(threads, length, "one"), int)
        loop.set_default_executor(threads)
    await loop.shutdown_default_executor(timeout=1.5)
    loop.run_in_executor(None, length, 1)  # type: ignore[arg-type]
    loop.run_in_executor(length, "one")  # type: ignore[arg-type]
    loop.set_default_executor(concurrent.futures.ProcessPoolExecutor())  # type: ignore[arg-type]


def descriptors(loop: boros.EventLoop, sock: socket.socket) -> None:
    loop.add_reader(sock, two, 1, "one")
    loop.add_writer(sock.fileno(), loop.stop)
    assert_type(loop.remove_reader(sock), bool)
    loop.add_reader(sock, two, 1)  # type: ignore[arg-type]
    loop.add_writer("socket", loop.stop)  # type: ignore[arg-type]


def signals(loop: boros.EventLoop) -> None:
    loop.add_signal_handler(signal.SIGTERM, two, 1, "one")
    assert_type(loop.remove_signal_handler(signal.SIGTERM), bool)
    loop.add_signal_handler(signal.SIGTERM, two)  # type: ignore[arg-type]
    loop.add_signal_handler("TERM", loop.stop)  # type: ignore[arg-type]


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)


def reports(loop: boros.EventLoop) -> None:
    loop.set_exception_handler(report)
    loop.set_exception_handler(None)
    loop.call_exception_handler({"message": "lost"})
    loop.set_exception_handler(two)  # type: ignore[arg-type]
    loop.call_exception_handler("lost")  # type: ignore[arg-type]
