"""Connections and servers."""


class Connections:
    """The methods that make transports."""
