"""Certificates made when they are needed, and the contexts of clients and servers that use them."""

from __future__ import annotations

import functools
import ssl

import trustme

#: What the server's certificate is for.
NAMES = ("localhost", "127.0.0.1", "one.example")


@functools.cache
def authority() -> trustme.CA:
    """The authority that everybody here trusts."""
    return trustme.CA()


@functools.cache
def certificate(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*names)


def server_context(*names: str, asks: bool = False) -> ssl.SSLContext:
    """A server's context; ``asks`` for a client's certificate too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(*(names or NAMES)).configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(context)
    return context


def client_context(certified: str | None = None) -> ssl.SSLContext:
    """A client's context, with a certificate for the mail address ``certified``."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if certified is not None:
        certificate(certified).configure_cert(context)
    return context
