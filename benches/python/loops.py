"""The loops that are compared."""

import asyncio
import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable

Factory = Callable[[], asyncio.AbstractEventLoop]

# uvloop stands for what people use today: ratios are taken to it.
REFERENCE = "uvloop"
OURS = "boros"
NAMES = ("asyncio", "uvloop", "rloop", *(("zuvloop",) if sys.version_info >= (3, 14) else ()), OURS)


class Absent(Exception):
    """The loop is not installed here."""


def factory(name: str) -> Factory:
    """What makes a loop of that name; raises Absent."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    try:
        module = importlib.import_module(name)
        make: Factory = module.new_event_loop
    except (ImportError, AttributeError) as error:
        raise Absent(f"{name}: {error}") from error
    return make


def version(name: str) -> str:
    """The installed version; CPython's for asyncio."""
    if name == "asyncio":
        return platform.python_version()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return getattr(importlib.import_module(name), "__version__", "unknown")
