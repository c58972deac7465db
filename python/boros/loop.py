"""The event loop: what runs it, and what belongs to its life, around the native scheduler."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
import weakref
from asyncio import constants, coroutines

# The very function: anyio finds the root task by it.
from asyncio.base_events import _run_until_complete_cb  # type: ignore[attr-defined]
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeVar

from boros import _process, _tasks
from boros._boros import Loop, install_scheduling
from boros._connections import Connections
from boros._datagrams import Datagrams
from boros._executor import Executor
from boros._processes import Processes
from boros._reports import Reports
from boros._sendfile import Sendfile
from boros._signals import Signals
from boros._sockets import Sockets
from boros._tls import TLS

__all__ = ["EventLoop"]

_T = TypeVar("_T")

_tasks.install()


class EventLoop(
    Connections,
    Datagrams,
    TLS,
    Sendfile,
    Processes,
    Sockets,
    Signals,
    Executor,
    Reports,
    Loop,
    asyncio.AbstractEventLoop,
):
    """An asyncio event loop whose scheduler, futures, tasks and transports are native.

    It may be subclassed. One thread uses it at a time; only :meth:`call_soon_threadsafe`,
    :meth:`is_running` and :meth:`is_closed` are for others. A process that is forked finds it closed; the
    parent's is not touched by that.
    """

    # Not in the `__dict__` that loops have too: while that is empty, the interpreter finds methods of the
    # loop without looking into it.
    __slots__ = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_coroutine_origin_tracking_enabled",
        "_coroutine_origin_tracking_saved_depth",
        "_default_executor",
        "_exception_handler",
        "_executor_shutdown_called",
        "_signal_handlers",
        "_signal_pipe",
    )

    def __init__(self) -> None:
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._coroutine_origin_tracking_enabled = False
        self._coroutine_origin_tracking_saved_depth: int | None = None
        self._exception_handler = None
        self._default_executor = None
        self._executor_shutdown_called = False
        self._signal_handlers = {}
        self._signal_pipe = None
        _process.loops.add(self)
        self.set_debug(coroutines._is_debug_mode())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    # Running

    def run_forever(self) -> None:
        """Run until :meth:`stop` is called.

        Raises :exc:`RuntimeError` if the loop is closed or runs already, or if another loop runs in
        this thread.
        """
        self._check_closed()
        self._check_running()
        old_hooks = sys.get_asyncgen_hooks()
        self._set_coroutine_origin_tracking(self.get_debug())
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook
        )
        try:
            if threading.current_thread() is threading.main_thread():
                with self._signals_wake_the_loop():
                    self._run()
            else:
                self._run()
        finally:
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*old_hooks)

    def run_until_complete(self, future: Awaitable[_T] | Generator[Any, None, _T]) -> _T:
        """Run until ``future`` is done and return its result, or raise its exception.

        A coroutine is wrapped in a task. Raises :exc:`RuntimeError` if the loop is stopped before.
        """
        self._check_closed()
        self._check_running()
        new_task = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]
        if new_task:
            # The caller never sees the task, so what becomes of it is for us to tell.
            future._log_destroy_pending = False  # type: ignore[attr-defined]
        future.add_done_callback(_run_until_complete_cb)
        try:
            self.run_forever()
        except BaseException:
            if new_task and future.done() and not future.cancelled():
                # Looked at, so that it is not reported as never retrieved.
                future.exception()
            raise
        finally:
            future.remove_done_callback(_run_until_complete_cb)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def close(self) -> None:
        """Close the loop for good. Has no effect the second time.

        Raises :exc:`RuntimeError` if the loop runs.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        self._close_signals()
        self._close()
        self._executor_shutdown_called = True
        executor, self._default_executor = self._default_executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def set_debug(self, enabled: bool) -> None:
        """Turn debug mode on or off."""
        self._set_debug(bool(enabled))
        if self.is_running():
            self.call_soon_threadsafe(self._set_coroutine_origin_tracking, enabled)

    def _set_coroutine_origin_tracking(self, enabled: bool) -> None:
        if bool(enabled) == self._coroutine_origin_tracking_enabled:
            return
        if enabled:
            self._coroutine_origin_tracking_saved_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(constants.DEBUG_STACK_DEPTH)
        else:
            sys.set_coroutine_origin_tracking_depth(
                self._coroutine_origin_tracking_saved_depth  # type: ignore[arg-type]
            )
        self._coroutine_origin_tracking_enabled = bool(enabled)

    # Asynchronous generators

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after "
                f"loop.shutdown_asyncgens() call",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )
        self._asyncgens.add(agen)

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.discard(agen)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close all asynchronous generators that are not exhausted."""
        self._asyncgens_shutdown_called = True
        closing = list(self._asyncgens)
        if not closing:
            return
        self._asyncgens.clear()
        results = await asyncio.gather(*[agen.aclose() for agen in closing], return_exceptions=True)
        for result, agen in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": "an error occurred during closing of "
                        f"asynchronous generator {agen!r}",
                        "exception": result,
                        "asyncgen": agen,
                    }
                )


# In the class itself, where the interpreter calls them without detours.
install_scheduling(EventLoop)
