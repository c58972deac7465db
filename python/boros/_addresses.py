"""Socket addresses: those that need no look-up, and the order in which to try them."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boros._part import AddressInfo

_PROTOCOLS: dict[int, int] = {
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}


def numeric_info(
    host: str | bytes | None,
    port: Any,
    family: int,
    type: int,
    proto: int,
    flowinfo: int = 0,
    scopeid: int = 0,
) -> AddressInfo | None:
    """What :func:`socket.getaddrinfo` would say of a numeric address, or None for any other.

    Neither a thread nor the loop's ``getaddrinfo`` is needed for an address that a program has looked
    up by its own means. Service names (``"http"``) and zones (``"fe80::1%eth0"``) are not numeric.
    """
    if host is None or type not in _PROTOCOLS:
        return None
    if proto not in (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        return None
    if port is None or (isinstance(port, str | bytes) and not port):
        port = 0
    try:
        port = int(port)
        if isinstance(host, bytes):
            host = host.decode("idna")
    except (TypeError, ValueError):
        return None
    if "%" in host:
        return None
    families = (socket.AF_INET, socket.AF_INET6) if family == socket.AF_UNSPEC else (family,)
    for candidate in families:
        try:
            socket.inet_pton(candidate, host)
        except (OSError, ValueError):
            continue
        address: tuple[Any, ...] = (host, port)
        if candidate == socket.AF_INET6:
            address = (host, port, flowinfo, scopeid)
        return candidate, type, _PROTOCOLS[type], "", address
    return None


def interleave(infos: Iterable[AddressInfo], first_family_count: int = 1) -> list[AddressInfo]:
    """Reorder what ``getaddrinfo`` returned so that address families take turns (RFC 8305, 4).

    The first ``first_family_count`` addresses are of the family that came first.
    """
    by_family: dict[int, list[AddressInfo]] = {}
    for info in infos:
        by_family.setdefault(info[0], []).append(info)
    groups = list(by_family.values())
    if not groups:
        return []
    # One of the first family leads the turns anyway.
    lead = max(first_family_count - 1, 0)
    ordered, groups[0] = groups[0][:lead], groups[0][lead:]
    for turn in itertools.zip_longest(*groups):
        ordered.extend(info for info in turn if info is not None)
    return ordered
