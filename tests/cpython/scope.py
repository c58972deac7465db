"""Which of CPython's asyncio tests run: by default, and only when asked for."""

import importlib.util

PACKAGE = "test.test_asyncio"

# In the order they start: the long ones first, so that parallel workers end together.
DEFAULT_MODULES = (
    "test_ssl",
    "test_tasks",
    "test_events",
    "test_base_events",
    "test_subprocess",
    "test_sock_lowlevel",
    "test_sslproto",
    "test_sendfile",
    "test_locks",
    "test_streams",
    "test_unix_events",
    "test_waitfor",
    "test_timeouts",
    "test_server",
    "test_taskgroups",
    "test_eager_task_factory",
    "test_queues",
    "test_futures",
    "test_futures2",
    "test_runners",
    "test_staggered",
    "test_buffered_proto",
    "test_threads",
    "test_pep492",
    "test_context",
)

LATER_MODULES = (
    "test_transports",
    "test_protocols",
)

# Modules that need not reach the implementation at all: they test CPython's own classes with mocks.
OWN_MODULES = ("test_transports", "test_protocols")

# Modules that reach only an implementation with futures of its own.
FUTURE_MODULES = ("test_futures",)


def is_later(test: str) -> bool:
    """Whether a test is in one of the modules that a default run leaves out."""
    return test.partition(".")[0] in LATER_MODULES


def modules(group: str) -> list[str]:
    """The test modules of a group ("default", "later" or "all") that this interpreter has."""
    chosen = DEFAULT_MODULES if group == "default" else DEFAULT_MODULES + LATER_MODULES
    return [name for name in chosen if importlib.util.find_spec(f"{PACKAGE}.{name}") is not None]


def in_group(test: str, group: str) -> bool:
    """Whether a test belongs to a group."""
    return group == "all" or is_later(test) == (group == "later")
