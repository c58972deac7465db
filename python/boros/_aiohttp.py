"""``yield from aiohttp.request(…)``, for the old code that :mod:`boros.compat` runs.

aiohttp's function is for ``async with`` alone by now. It is patched when
aiohttp is imported; nothing here imports it.
"""

from __future__ import annotations

import importlib.machinery
import types
from typing import Any

from boros._patches import Patches

__all__ = ("Finder", "patch")


async def _respond(request: Any) -> Any:
    """Make an aiohttp request outside an ``async with``, and return the response."""
    try:
        response = await request._coro
    except BaseException:
        await request._session.close()
        raise
    # From here on the response keeps the connection, and releases it when it
    # is read, closed or dropped; nothing is left for the session to close.
    request._session.detach()
    return response


def patch(patches: Patches, client: types.ModuleType) -> None:
    """Let ``yield from aiohttp.request(…)`` be the response."""
    request = getattr(client, "_SessionRequestContextManager", None)
    if request is not None and not hasattr(request, "__await__"):

        def respond(self: Any) -> Any:
            return _respond(self).__await__()

        patches.set(request, "__await__", respond)
        patches.set(request, "__iter__", respond)


class Finder:
    """Has ``aiohttp.client`` patched at the end of its import, should that ever come."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "aiohttp.client":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader = spec.loader if spec is not None else None
        if spec is None or loader is None:
            return None
        spec.loader = Loader(loader, self._patches)  # type: ignore[assignment]
        return spec


class Loader:
    """Loads as *loader* does, then patches and is gone."""

    def __init__(self, loader: Any, patches: Patches) -> None:
        self._loader = loader
        self._patches = patches

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        patch(self._patches, module)
