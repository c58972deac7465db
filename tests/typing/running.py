"""Running programs: what comes out has the type of what went in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from typing import assert_type

import boros


async def answer() -> int:
    return 42


def old_style() -> Generator[None, None, str]:
    yield
    return "done"


def run() -> None:
    assert_type(boros.run(answer()), int)
    assert_type(boros.run(answer(), debug=True, loop_factory=boros.new_event_loop), int)
    text: str = boros.run(answer())  # type: ignore[assignment]
    boros.run(answer)  # type: ignore[arg-type]
    boros.run(42)  # type: ignore[arg-type]
    boros.run(answer(), True)  # type: ignore[call-arg]
    boros.run(answer(), debug="yes")  # type: ignore[arg-type]
    boros.run(answer(), loop_factory=boros.Future)  # type: ignore[arg-type]
    print(text)


def hand_out_loops() -> None:
    factory: Callable[[], asyncio.AbstractEventLoop] = boros.new_event_loop
    assert_type(boros.new_event_loop(), boros.EventLoop)
    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        assert_type(runner.run(answer()), int)
    with asyncio.Runner(loop_factory=boros.EventLoop) as runner:
        runner.get_loop()
    if sys.version_info >= (3, 12):
        assert_type(asyncio.run(answer(), loop_factory=factory), int)
        assert_type(asyncio.run(answer(), loop_factory=boros.new_event_loop), int)
    asyncio.Runner(loop_factory=boros.new_event_loop())  # type: ignore[arg-type]


def replace_the_default() -> None:
    boros.install()
    boros.uninstall()
    assert_type(boros.EventLoopPolicy().new_event_loop(), boros.EventLoop)
    boros.install(boros.EventLoopPolicy())  # type: ignore[call-arg]


def drive_a_loop(loop: boros.EventLoop) -> None:
    any_loop: asyncio.AbstractEventLoop = loop
    asyncio.set_event_loop(loop)
    assert_type(loop.run_until_complete(answer()), int)
    assert_type(loop.run_until_complete(old_style()), str)
    assert_type(any_loop.run_until_complete(answer()), int)
    assert_type(loop.time(), float)
    assert_type(loop.is_running(), bool)
    loop.slow_callback_duration = 0.5
    loop.run_until_complete(3)  # type: ignore[arg-type]
    loop.close()


class Counting(boros.EventLoop):
    """A loop of a program's own."""

    def __init__(self) -> None:
        super().__init__()
        self.futures = 0

    def create_future(self) -> boros.Future[int]:
        self.futures += 1
        return super().create_future()


class Broken(boros.EventLoop):
    def time(self) -> str:  # type: ignore[override]
        return "noon"


def version() -> str:
    return boros.__version__
