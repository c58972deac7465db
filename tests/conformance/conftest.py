"""Fixtures of the tests of transports."""

from __future__ import annotations

import pytest
from peers import tcp_pair, unix_pair


@pytest.fixture(params=["tcp", "unix"])
def pair(request):
    """Makes two connected sockets, of TCP and of Unix in turn; what is still open is closed."""
    made = []

    def make():
        made.extend({"tcp": tcp_pair, "unix": unix_pair}[request.param]())
        return made[-2:]

    yield make
    for sock in made:
        sock.close()
