"""A child process: asyncio's subprocess transport, whose exit a process descriptor tells."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import subprocess
import threading
import warnings
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.log import logger
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boros._processes import Processes

__all__ = ["ChildTransport"]

#: What is reported for a child whose status somebody else has taken: as asyncio.
STATUS_UNKNOWN = 255

#: How long to wait for a child that was killed when the loop had been closed, in milliseconds.
KILLED_WAIT = 1000


class ChildTransport(BaseSubprocessTransport):
    """A running program, and the transports of its standard streams.

    The order of the protocol's callbacks is asyncio's, from its own class. What is ours is how a child
    ends: a process descriptor becomes readable. That needs no handler of SIGCHLD, which stays the program's,
    and no thread, works in any thread, and cannot mean another process that has got the same number since.
    """

    _loop: Processes
    #: The process descriptor, while it is watched; else -1.
    _pidfd: int = -1
    #: The process whose child it is: a fork of that may close what it has got, and no more.
    _parent: int = -1

    def _start(
        self,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        **kwargs: Any,
    ) -> None:
        self._parent = os.getpid()
        self._proc = subprocess.Popen(
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=bufsize,
            **kwargs,
        )

    async def _connect_pipes(self, waiter: asyncio.Future[Any] | None) -> None:
        await super()._connect_pipes(waiter)
        if self._closed:
            # Before there was anything to close.
            self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in self._pipes.values():
            if pipe is not None:
                pipe.pipe.close()  # type: ignore[union-attr]

    # The exit

    def _watch_exit(self) -> None:
        """Have the loop told when the child ends."""
        assert self._pid is not None
        try:
            self._pidfd = os.pidfd_open(self._pid)
            self._loop._add_reader(self._pidfd, self._exit_ready)
        except (AttributeError, OSError):
            # The system has no process descriptors, or no more of them. A child must not be left without
            # somebody who waits for it.
            self._close_pidfd()
            threading.Thread(
                target=self._wait_in_thread,
                args=(self._loop, self._pid),
                name=f"boros-waitpid-{self._pid}",
                daemon=True,
            ).start()

    def _exit_ready(self) -> None:
        """What the loop does when the child has ended."""
        proc = self._proc
        assert proc is not None
        # A thread that waits with the Popen object holds this, until it has the status, which is now.
        with proc._waitpid_lock:  # type: ignore[attr-defined]
            status: int | None = proc.returncode
            if status is None:
                try:
                    status = wait_for(self._pidfd)
                except ChildProcessError:
                    status = None
                else:
                    if status is None:
                        return
                    proc.returncode = status
        self._loop._remove_reader(self._pidfd)
        self._close_pidfd()
        self._exited(status)

    def _wait_in_thread(self, loop: Processes, pid: int) -> None:
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            status = None
        try:
            loop.call_soon_threadsafe(self._exited, status)
        except RuntimeError:
            logger.warning("Loop %r that handles pid %r is closed", loop, pid)

    def _exited(self, status: int | None) -> None:
        """Tell the protocol; ``status`` is None if somebody else was told it."""
        if status is None and self._proc is not None:
            status = self._proc.returncode
        if status is None:
            logger.warning(
                "child process pid %d exit status already read:  will report returncode %d",
                self._pid,
                STATUS_UNKNOWN,
            )
            status = STATUS_UNKNOWN
        self._process_exited(status)

    def _close_pidfd(self) -> None:
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    # Signals

    def send_signal(self, signal: int) -> None:
        """Send the child a signal, unless it has ended.

        Raises :exc:`ProcessLookupError` once the transport is closed and the child gone.
        """
        self._check_proc()
        if self._returncode is None:
            send_signal(self._pidfd, self._pid, signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    # The end

    def close(self) -> None:
        """Close the pipes and kill the child if it runs. Has no effect the second time."""
        if os.getpid() != self._parent:
            self._closed = True
            self._close_pipes()
            self._close_pidfd()
            return
        super().close()
        if self._loop is not None and self._loop.is_closed():
            self._reap()

    def _reap(self) -> None:
        """Leave no zombie and no descriptor behind, where no loop will tell of the child's end."""
        if self._pidfd < 0:
            return
        mine = os.getpid() == self._parent
        if mine and self._closed and self._proc is not None and self._proc.poll() is None:
            waiting = select.poll()
            waiting.register(self._pidfd, select.POLLIN)
            waiting.poll(KILLED_WAIT)
            self._proc.poll()
        self._close_pidfd()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()
        self._reap()


def wait_for(pidfd: int) -> int | None:
    """The exit status of a child, negative for a signal; None while it runs.

    Raises :exc:`ChildProcessError` if somebody else was told.
    """
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def send_signal(pidfd: int, pid: int | None, number: int) -> None:
    """Send a signal to a child that may have ended: by its descriptor, which cannot mean another."""
    assert pid is not None
    try:
        if pidfd < 0:
            os.kill(pid, number)
            return
        try:
            signal.pidfd_send_signal(pidfd, number)
        except OSError as failure:
            if failure.errno != errno.ENOSYS:
                raise
            os.kill(pid, number)
    except ProcessLookupError:
        return
