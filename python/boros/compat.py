"""Code written for the asyncio of Python 3.4 to 3.9, on today's Python.

:func:`coroutine` is the decorator that asyncio had. :func:`enable` gives
asyncio back what it lost since: that decorator, ``loop=`` parameters,
``asyncio.wait`` of coroutines, ``with (yield from lock)``,
``Task.all_tasks``, ``JoinableQueue``, an ``asyncio.get_event_loop`` that makes
a loop in the main thread, and ``yield from aiohttp.request(…)``.
:func:`disable` takes it all away again.
"""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import collections.abc
import functools
import inspect
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

from boros import _aiohttp, policy
from boros._boros import Task as _BorosTask
from boros._patches import Patches
from boros.loop import EventLoop
from boros.runners import new_event_loop

__all__ = ("coroutine", "disable", "enable")

_CPythonTask = asyncio.Task
# What asyncio.iscoroutinefunction looks for, as long as it does.
_MARK = getattr(asyncio.coroutines, "_is_coroutine", True)


class _Coroutine(collections.abc.Coroutine[Any, Any, Any]):
    """A generator that counts as a coroutine.

    What a function with the old decorator returns: asyncio takes it for a
    coroutine, ``await`` takes it, and unlike a coroutine of ``async def`` any
    generator can ``yield from`` it, decorated or not, and ``next`` steps it.
    """

    __slots__ = ("__name__", "__qualname__", "__weakref__", "_generator")

    def __init__(self, generator: Generator[Any, Any, Any], function: Callable[..., Any]) -> None:
        self._generator = generator
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)

    def __iter__(self) -> Generator[Any, Any, Any]:
        return (yield from self._generator)

    __await__ = __iter__

    def __next__(self) -> Any:
        return next(self._generator)

    def send(self, value: Any) -> Any:
        return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        return self._generator.throw(*error)

    def close(self) -> None:
        self._generator.close()

    def __repr__(self) -> str:
        return f"<coroutine object {self.__qualname__} at {id(self):#x}>"

    # What stacks and reprs of tasks are made of.
    gi_frame = cr_frame = property(lambda self: self._generator.gi_frame)
    gi_code = cr_code = property(lambda self: self._generator.gi_code)
    gi_running = cr_running = property(lambda self: self._generator.gi_running)
    gi_yieldfrom = cr_await = property(lambda self: self._generator.gi_yieldfrom)
    cr_origin = None


def coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator ``asyncio.coroutine``, which Python 3.11 removed.

    A generator function becomes a coroutine function whose body may
    ``yield from`` coroutines (also those of ``async def``), futures and tasks.
    Any other function becomes one that waits for the future, generator or
    awaitable that it returns, and returns any other value as it is.
    ``async def`` functions stay what they are. Works without :func:`enable`.
    """
    if inspect.iscoroutinefunction(function):
        return function
    if isinstance(function, types.FunctionType) and inspect.isgeneratorfunction(function):
        return _from_generators(types.coroutine(function), function)
    return _awaiting(function)


def _awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that calls *function* and waits for what it returns."""

    @types.coroutine
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        result = function(*args, **kwargs)
        if inspect.isgenerator(result) or inspect.iscoroutine(result) or asyncio.isfuture(result):
            future: Any = result
            return (yield from future)
        if isinstance(result, Awaitable):
            return (yield from result.__await__())
        return result

    return _from_generators(call, function)


def _from_generators(make: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """*function*'s stand-in, which returns what *make* returns as a coroutine."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> _Coroutine:
        return _Coroutine(make(*args, **kwargs), function)

    wrapper._is_coroutine = _MARK  # type: ignore[attr-defined]
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(wrapper)
    return wrapper


def _from_generator(generator: Any) -> _Coroutine:
    """A plain generator as a coroutine, as all of them once were."""
    return _Coroutine(generator, generator)


class _CompatPolicy(policy.EventLoopPolicy):
    """The policy whose ``get_event_loop`` makes the main thread a loop, and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._chosen = threading.local()

    def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._chosen.yes = True
        super().set_event_loop(loop)

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        # Once, and only if the program has not chosen "none" itself.
        main = threading.current_thread() is threading.main_thread()
        if main and not getattr(self._chosen, "yes", False):
            self.set_event_loop(self.new_event_loop())
        loop: asyncio.AbstractEventLoop = super().get_event_loop()
        return loop


def _get_event_loop_without_policies(
    get: Callable[[], asyncio.AbstractEventLoop],
) -> Callable[[], asyncio.AbstractEventLoop]:
    """``asyncio.get_event_loop`` as above, for a Python that has no policies left."""

    def get_event_loop() -> asyncio.AbstractEventLoop:
        try:
            return get()
        except RuntimeError:
            if threading.current_thread() is not threading.main_thread():
                raise
            loop = new_event_loop()
            asyncio.set_event_loop(loop)
            return loop

    return get_event_loop


class _TaskType(type(_CPythonTask)):  # type: ignore[misc]
    """Makes :class:`Task` stand for every task: instances, subclasses, calls."""

    def __instancecheck__(cls, instance: object) -> bool:
        return (
            isinstance(instance, _CPythonTask)
            if cls is Task
            else super().__instancecheck__(instance)
        )

    def __subclasscheck__(cls, subclass: type) -> bool:
        return (
            issubclass(subclass, _CPythonTask)
            if cls is Task
            else super().__subclasscheck__(subclass)
        )

    def __call__(
        cls, coro: Any, *, loop: asyncio.AbstractEventLoop | None = None, **options: Any
    ) -> Any:
        if loop is None:
            loop = asyncio.get_event_loop()
        if inspect.isgenerator(coro):
            coro = _from_generator(coro)
        if cls is Task:
            kind = _BorosTask if isinstance(loop, EventLoop) else _CPythonTask
            return kind(coro, loop=loop, **options)
        return super().__call__(coro, loop=loop, **options)


class Task(_CPythonTask, metaclass=_TaskType):  # type: ignore[type-arg]
    """``asyncio.Task`` with the class methods that it lost in 3.9.

    The type itself is closed to new attributes, so this one stands before it.
    """

    @classmethod
    def all_tasks(cls, loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        """The unfinished tasks of *loop*, by default of the current one."""
        return asyncio.all_tasks(asyncio.get_event_loop() if loop is None else loop)

    @classmethod
    def current_task(
        cls, loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Task[Any] | None:
        """The task that *loop* is running, by default the current one; None if none is."""
        return asyncio.current_task(asyncio.get_event_loop() if loop is None else loop)


def _futures(
    awaitables: Iterable[Any], loop: asyncio.AbstractEventLoop | None
) -> list[asyncio.Future[Any]]:
    """A future for each of *awaitables*, which may be plain generators too."""
    made: dict[int, Any] = {}
    futures = []
    for one in awaitables:
        if id(one) not in made:
            made[id(one)] = _ensure_future(one, loop=loop)
        futures.append(made[id(one)])
    return futures


def _ensure_future(
    one: Any, *, loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Future[Any]:
    if inspect.isgenerator(one):
        one = _from_generator(one)
    future: asyncio.Future[Any] = asyncio.tasks.ensure_future(one, loop=loop)
    return future


def _without_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """*function*, which takes no ``loop=`` any more, with one that it disregards.

    It was of use outside the loop alone, where a coroutine does not run.
    """

    @functools.wraps(function)
    def call(*args: Any, loop: Any = None, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return _awaiting(call)


def _gather(
    *awaitables: Any, loop: asyncio.AbstractEventLoop | None = None, return_exceptions: bool = False
) -> asyncio.Future[list[Any]]:
    if loop is None and not awaitables:
        loop = asyncio.get_event_loop()
    futures = _futures(awaitables, loop)
    if futures:
        return asyncio.tasks.gather(*futures, return_exceptions=return_exceptions)
    assert loop is not None
    nothing: asyncio.Future[list[Any]] = loop.create_future()
    nothing.set_result([])
    return nothing


@coroutine
def _wait(
    fs: Iterable[Any],
    *,
    loop: Any = None,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> Generator[Any, Any, Any]:
    if not (asyncio.isfuture(fs) or asyncio.iscoroutine(fs)):
        fs = _futures(fs, None)
    waiting: Any = asyncio.tasks.wait(fs, timeout=timeout, return_when=return_when)
    return (yield from waiting)


def _shield(arg: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[Any]:
    return asyncio.tasks.shield(_ensure_future(arg, loop=loop))


def _as_completed(
    fs: Iterable[Any],
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    timeout: float | None = None,
) -> Any:
    return asyncio.tasks.as_completed(_futures(fs, loop), timeout=timeout)


def _taking_loop(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` of locks and queues with the ``loop=`` that it had."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, loop: Any = None, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if loop is not None:
            self._loop = loop

    return __init__


class _Held:
    """What ``yield from lock`` gives: to be released at the end of a ``with``."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _acquired(lock: Any) -> Generator[Any, Any, _Held]:
    """``__iter__`` and ``__await__`` of a lock: acquire it."""
    yield from lock.acquire().__await__()
    return _Held(lock)


def _is_coroutine_function(function: object) -> bool:
    """``asyncio.iscoroutinefunction``, without the warning that 3.14 gives."""
    mark = getattr(function, "_is_coroutine", None)
    return inspect.iscoroutinefunction(function) or (mark is not None and mark is _MARK)


_FUNCTIONS = (
    "sleep",
    "wait_for",
    "open_connection",
    "start_server",
    "open_unix_connection",
    "start_unix_server",
    "create_subprocess_exec",
    "create_subprocess_shell",
)

_LOCKS: tuple[Any, ...] = (
    asyncio.Lock,
    asyncio.Event,
    asyncio.Condition,
    asyncio.Semaphore,
    asyncio.BoundedSemaphore,
)

# Coroutine methods that plain generators may yield from again.
_METHODS: dict[type, tuple[str, ...]] = {
    asyncio.Lock: ("acquire",),
    asyncio.Event: ("wait",),
    asyncio.Condition: ("wait", "wait_for"),
    asyncio.Semaphore: ("acquire",),
    asyncio.Queue: ("get", "put", "join"),
    asyncio.StreamReader: ("read", "readline", "readexactly", "readuntil"),
    asyncio.StreamWriter: ("drain", "wait_closed"),
    asyncio.subprocess.Process: ("wait", "communicate"),
}


def _patch_asyncio(patches: Patches) -> None:
    coroutines = asyncio.coroutines
    patches.set(asyncio, "coroutine", coroutine)
    patches.set(coroutines, "coroutine", coroutine)
    patches.set(asyncio, "iscoroutinefunction", _is_coroutine_function)
    # Generators were coroutines; asyncio says so again, up to 3.11 it does anyway.
    kinds = getattr(coroutines, "_COROUTINE_TYPES", ())
    if types.GeneratorType not in kinds:
        patches.set(coroutines, "_COROUTINE_TYPES", (*kinds, types.GeneratorType))

    patches.set(asyncio, "async", _ensure_future)
    patches.set(asyncio, "ensure_future", _ensure_future)
    patches.set(asyncio, "Task", Task)
    patches.set(asyncio, "JoinableQueue", asyncio.Queue)
    patches.set(asyncio, "gather", _gather)
    patches.set(asyncio, "wait", _wait)
    patches.set(asyncio, "shield", _shield)
    patches.set(asyncio, "as_completed", _as_completed)
    for name in _FUNCTIONS:
        function = getattr(asyncio, name, None)
        if function is not None:
            patches.set(asyncio, name, _without_loop(function))
            if hasattr(asyncio.subprocess, name):
                patches.set(asyncio.subprocess, name, getattr(asyncio, name))

    for kind in (*_LOCKS, asyncio.Queue):
        if "__init__" in vars(kind):
            patches.set(kind, "__init__", _taking_loop(kind.__init__))
    for kind in (asyncio.Lock, asyncio.Condition, asyncio.Semaphore):
        patches.set(kind, "__iter__", _acquired)
        patches.set(kind, "__await__", _acquired)
    for kind, names in _METHODS.items():
        for name in names:
            patches.set(kind, name, _awaiting(getattr(kind, name)))

    if not policy.HAS_POLICIES:
        get = _get_event_loop_without_policies(asyncio.get_event_loop)
        patches.set(asyncio, "get_event_loop", get)
        patches.set(asyncio.events, "get_event_loop", get)


class _Enabled:
    """What :func:`enable` did, to be undone."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._finder = _aiohttp.Finder(self._patches)
        self._policy: Any = None
        self._previous: Any = None

    def do(self) -> None:
        _patch_asyncio(self._patches)
        if policy.HAS_POLICIES:
            self._policy, self._previous = _CompatPolicy(), policy.current_policy()
            policy.set_policy(self._policy)
        else:
            policy.install()
        client = sys.modules.get("aiohttp.client")
        if client is not None:
            _aiohttp.patch(self._patches, client)
        sys.meta_path.insert(0, self._finder)

    def undo(self) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        if not policy.HAS_POLICIES:
            policy.uninstall()
        elif policy.current_policy() is self._policy:
            policy.set_policy(self._previous)
        self._patches.undo()
        # asyncio remembers types that it has once found to be coroutines.
        coroutines: Any = asyncio.coroutines
        seen = getattr(coroutines, "_iscoroutine_typecache", None)
        if seen is not None and types.GeneratorType not in coroutines._COROUTINE_TYPES:
            seen.discard(types.GeneratorType)


_lock = threading.Lock()
_enabled: _Enabled | None = None


def enable() -> None:
    """Let code for the asyncio of Python 3.4 to 3.9 run, in this whole process.

    Makes boros the loop that asyncio hands out, as :func:`boros.install` does,
    and gives asyncio back what the module's first lines name. Code for today's
    asyncio goes on working. Calling it again changes nothing. Thread-safe; to
    be called before the old code is imported.
    """
    global _enabled
    with _lock:
        if _enabled is None:
            _enabled = _Enabled()
            _enabled.do()


def disable() -> None:
    """Undo :func:`enable`; does nothing if it was not called. Thread-safe."""
    global _enabled
    with _lock:
        if _enabled is not None:
            _enabled.undo()
            _enabled = None
