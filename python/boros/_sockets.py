"""Operations on the program's own sockets."""


class Sockets:
    """The ``sock_*`` methods of a loop."""
