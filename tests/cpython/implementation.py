"""The event loops that can be put in place of asyncio's own, described by what they bring."""

import dataclasses
from collections.abc import Callable
from typing import Any

NAMES = ("boros", "uvloop", "rloop", "asyncio")

# Loops run for comparison only. Two gaps that have nothing to do with what a test is about would fail nearly all of
# theirs, and are excused: the loop's private `_default_executor`, which the tests read to clean up, and the child
# watcher that test_events sets for its subprocesses on Python before 3.14.
COMPARISONS = ("uvloop", "rloop")


@dataclasses.dataclass(frozen=True)
class Implementation:
    """One event loop: its classes, and how a child interpreter is told to use it.

    `future` and `task` are None where the loop leaves those to CPython. `bare_loop` stands for CPython's
    BaseEventLoop where a test builds one to hang mocks on it. `prelude` is what a child interpreter runs first.
    """

    name: str
    version: str
    new_event_loop: Callable[[], Any]
    event_loop: type
    bare_loop: type
    policy: type
    future: type | None
    task: type | None
    prelude: str
    comparison: bool = False


def load(name: str) -> Implementation:
    """Import the implementation called `name`; ImportError when it is not installed."""
    if name == "asyncio":
        return _asyncio()
    if name not in NAMES:
        raise ValueError(f"unknown loop {name!r}, expected one of {', '.join(NAMES)}")
    module = __import__(name)
    event_loop = next(
        found
        for attribute in ("EventLoop", "Loop", "RLoop")
        if (found := getattr(module, attribute, None)) is not None
    )
    return Implementation(
        name=name,
        version=_version(name),
        new_event_loop=module.new_event_loop,
        event_loop=event_loop,
        # A Python subclass, whose instances take any attribute.
        bare_loop=type("BareLoop", (event_loop,), {}),
        policy=module.EventLoopPolicy,
        future=getattr(module, "Future", None),
        task=getattr(module, "Task", None),
        prelude=f"import asyncio, {name}; asyncio.set_event_loop_policy({name}.EventLoopPolicy())\n",
        comparison=name in COMPARISONS,
    )


def _asyncio() -> Implementation:
    """CPython's own classes, substituted for themselves: what a perfect drop-in would score."""
    import asyncio
    import platform

    selector_loop = asyncio.SelectorEventLoop
    return Implementation(
        name="asyncio",
        version=platform.python_version(),
        new_event_loop=selector_loop,
        event_loop=selector_loop,
        bare_loop=asyncio.BaseEventLoop,
        policy=asyncio.DefaultEventLoopPolicy,
        future=asyncio.Future,
        task=asyncio.Task,
        prelude="",
    )


def _version(distribution: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled build"
