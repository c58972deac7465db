"""Signals: handlers that run as callbacks of the loop, and signals that end its wait."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from asyncio import coroutines
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from boros._boros import Handle
from boros._part import Part

if TYPE_CHECKING:
    from typing import TypeVarTuple

    _Ts = TypeVarTuple("_Ts")


def _sighandler_noop(signum: int, frame: FrameType | None) -> None:
    """Stand in for a handler: the number written to the wake-up descriptor is what counts."""


class Signals(Part):
    """The signal handlers of a loop."""

    _signal_handlers: dict[int, Handle]
    #: Where the loop reads the numbers of signals, and where the interpreter writes them.
    _signal_pipe: tuple[int, int] | None

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Have ``callback(*args)`` called in the loop when the signal ``sig`` arrives.

        Raises :exc:`ValueError` for a number that is no signal, :exc:`RuntimeError` for one that cannot
        be caught and in any thread but the main one, and :exc:`TypeError` for a coroutine.
        """
        if coroutines.iscoroutine(callback) or coroutines.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        try:
            signal.set_wakeup_fd(self._open_signal_pipe(), warn_on_full_buffer=False)
        except (ValueError, OSError) as failure:
            raise RuntimeError(str(failure)) from failure
        self._signal_handlers[sig] = Handle(callback, args, self, None)
        try:
            signal.signal(sig, _sighandler_noop)
            # Interrupted system calls are started again.
            signal.siginterrupt(sig, False)
        except OSError as failure:
            del self._signal_handlers[sig]
            self._give_wakeup_fd_back()
            if failure.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from failure
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Take a handler back, and answer whether there was one."""
        self._check_signal(sig)
        try:
            del self._signal_handlers[sig]
        except KeyError:
            return False
        handler = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(sig, handler)
        except OSError as failure:
            if failure.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from failure
            raise
        self._give_wakeup_fd_back()
        return True

    def _give_wakeup_fd_back(self) -> None:
        if self._signal_handlers or self.is_running():
            return
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(-1)

    def _check_signal(self, sig: int) -> None:
        if not isinstance(sig, int):
            raise TypeError(f"sig must be an int, not {sig!r}")
        if sig not in signal.valid_signals():
            raise ValueError(f"invalid signal number {sig}")

    def _handle_signal(self, sig: int) -> None:
        handle = self._signal_handlers.get(sig)
        if handle is None:
            return
        if handle._cancelled:
            self.remove_signal_handler(sig)
        else:
            self._push_handle(handle)

    # The wake-up descriptor

    def _open_signal_pipe(self) -> int:
        """Open the pipe that the interpreter writes signal numbers to."""
        if self._signal_pipe is None:
            # Not a pair of sockets: of numbers sent one by one, a pipe holds a hundred times as many, and
            # a number that finds no place is lost.
            receiver, sender = self._signal_pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._watch_signals(receiver, self._read_signals)
        return self._signal_pipe[1]

    def _read_signals(self) -> None:
        while True:
            try:
                numbers = os.read(self._signal_pipe[0], 4096)  # type: ignore[index]
            except BlockingIOError:
                return
            for number in numbers:
                if number:
                    self._handle_signal(number)
            if len(numbers) < 4096:
                return

    @contextlib.contextmanager
    def _signals_wake_the_loop(self) -> Iterator[None]:
        """While the loop runs in the main thread, a signal ends its wait, whenever it arrives.

        Without a wake-up descriptor, one that arrives just before the wait would go unnoticed until
        something else happens. A descriptor that somebody else has set is left in place.
        """
        mine = self._open_signal_pipe()
        previous = signal.set_wakeup_fd(mine, warn_on_full_buffer=False)
        if previous not in (-1, mine):
            signal.set_wakeup_fd(previous)
        try:
            yield
        finally:
            if previous in (-1, mine) and not self._signal_handlers:
                with contextlib.suppress(ValueError, OSError):
                    current = signal.set_wakeup_fd(-1)
                    if current not in (-1, mine):
                        signal.set_wakeup_fd(current)

    def _forget_signals(self) -> None:
        """Let go of what is shared with the process that forked this one."""
        self._signal_handlers.clear()
        if self._signal_pipe is None:
            return
        receiver, sender = self._signal_pipe
        self._signal_pipe = None
        with contextlib.suppress(ValueError, OSError):
            current = signal.set_wakeup_fd(-1)
            if current not in (-1, sender):
                signal.set_wakeup_fd(current)
        os.close(receiver)
        os.close(sender)

    def _close_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for sig in list(self._signal_handlers):
                self.remove_signal_handler(sig)
        self._signal_handlers.clear()
        if self._signal_pipe is not None:
            receiver, sender = self._signal_pipe
            self._signal_pipe = None
            self._remove_reader(receiver)
            if threading.current_thread() is threading.main_thread():
                with contextlib.suppress(ValueError, OSError):
                    current = signal.set_wakeup_fd(-1)
                    if current not in (-1, sender):
                        signal.set_wakeup_fd(current)
            os.close(receiver)
            os.close(sender)
