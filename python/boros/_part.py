"""What a part of the event loop may expect of the whole: known to type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Part"]

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from boros._boros import Loop

    #: What ``socket.getaddrinfo`` says of one address: family, type, protocol, name, address.
    AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
    #: What an exception handler is told.
    Report: TypeAlias = dict[str, Any]
    ExceptionHandler: TypeAlias = Callable[[asyncio.AbstractEventLoop, Report], object]

    class Part(Loop, asyncio.AbstractEventLoop):
        """A base of :class:`boros.EventLoop` beside the native one."""

        async def _ensure_resolved(
            self,
            address: Any,
            *,
            family: int = 0,
            type: int = ...,
            proto: int = 0,
            flags: int = 0,
            loop: asyncio.AbstractEventLoop,
        ) -> Sequence[AddressInfo]: ...

else:
    Part = object
