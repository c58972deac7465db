"""What the tests share: both loops, and the checks that nothing is left behind.

Behaviour tests ask for ``run`` or ``loop`` and run twice, on asyncio's loop and
on boros's. Every test fails if it leaves behind an open file descriptor, a
thread or a pending task, if something is reported to an exception handler or
logged as an error by asyncio (unless the test asks for ``reports`` and looks
itself), or if a ResourceWarning or a "never awaited" is heard.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import boros

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "boros": boros.new_event_loop,
}

#: Seconds that a test may take, if it says nothing else.
TIMEOUT = 20


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout(seconds): the longest that the test may take")
    for rule in (
        "error::ResourceWarning",
        "error:coroutine .* was never awaited:RuntimeWarning",
        # How the two above arrive when they come from a finalizer.
        "error::pytest.PytestUnraisableExceptionWarning",
        "error::pytest.PytestUnhandledThreadExceptionWarning",
    ):
        config.addinivalue_line("filterwarnings", rule)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


def open_files() -> dict[int, str]:
    """The open file descriptors of this process, and what they are."""
    files = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            files[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            # The one that listed the directory.
            continue
    return files


class Reports(list[dict[str, Any]]):
    """The contexts that exception handlers of the fixtures' loops were called with."""

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.append(context)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture
def _reports() -> Reports:
    return Reports()


@pytest.fixture
def reports(_reports: Reports) -> Reports:
    """What the loop reports; a test that asks for it is to look at it itself."""
    return _reports


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, _reports: Reports) -> Iterator[None]:
    """Fail the test over what it leaves behind."""
    errors = _Errors()
    logger = logging.getLogger("asyncio")
    files, threads = open_files(), set(threading.enumerate())
    logger.addHandler(errors)
    try:
        yield
        # Reports of lost exceptions and destroyed tasks come from finalizers.
        gc.collect()
    finally:
        logger.removeHandler(errors)
    left = {fd: name for fd, name in open_files().items() if files.get(fd) != name}
    assert not left, f"file descriptors left open: {left}"
    alive = [thread for thread in threading.enumerate() if thread not in threads]
    assert not alive, f"threads left running: {alive}"
    if "reports" not in request.fixturenames:
        assert not _reports, f"reported to the exception handler: {_reports}"
        assert not errors.texts, f"logged by asyncio: {errors.texts}"


@pytest.fixture(params=sorted(LOOPS))
def loop_kind(request: pytest.FixtureRequest) -> str:
    """ "asyncio" and "boros" in turn."""
    return request.param


@pytest.fixture
def new_loop(loop_kind: str, _reports: Reports) -> Callable[[], asyncio.AbstractEventLoop]:
    """A function that makes a loop of the kind at hand; the test closes it."""

    def make() -> asyncio.AbstractEventLoop:
        loop = LOOPS[loop_kind]()
        loop.set_exception_handler(_reports)
        return loop

    return make


@pytest.fixture
def run(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Callable[..., Any]:
    """A function that runs a coroutine to its end on a new loop, as asyncio.run does.

    It fails if the coroutine leaves tasks behind.
    """

    def run(main: Coroutine[Any, Any, Any], *, debug: bool | None = None) -> Any:
        async def watched() -> Any:
            result = await main
            # One turn for what has ended, but has not been told yet.
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left pending: {left}"
            return result

        with asyncio.Runner(debug=debug, loop_factory=new_loop) as runner:
            return runner.run(watched())

    return run


@pytest.fixture
def loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop, not running and not set; closed afterwards if the test has not done so."""
    loop = new_loop()
    try:
        yield loop
        if not loop.is_closed():
            left = asyncio.all_tasks(loop)
            assert not left, f"tasks left pending: {left}"
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
