"""What a benchmark case is, and the list of those that run inside a worker process."""

import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any


class WrongAnswer(Exception):
    """A loop did something else than what the case asks for, so its time does not count."""


def expect(actual: object, wanted: object, what: str) -> None:
    """Raises WrongAnswer unless both are equal."""
    if actual != wanted:
        raise WrongAnswer(f"{what}: {actual!r:.80} instead of {wanted!r:.80}")


class Counter:
    """Counts the calls of `tick`, which costs next to nothing beside the loop that calls it."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.tick: Callable[[], int] = numbers.__next__

    def expect(self, calls: int, what: str) -> None:
        """Raises WrongAnswer unless `tick` was called so often. To be asked once."""
        expect(self.tick(), calls, what)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a case: `key` in its samples, divided by `scale` for `unit`."""

    key: str
    unit: str
    scale: float = 1.0
    digits: int = 0


WALL = Metric("wall", "ns")
WALL_US = Metric("wall", "µs", 1e3, 1)
CPU = Metric("cpu", "ns CPU")
CPU_US = Metric("cpu", "µs CPU", 1e3, 1)


class Stopwatch:
    """Measures the part of a case that counts: `with watch: ...`, once per run."""

    def __init__(self) -> None:
        self.wall = 0
        self.cpu = 0

    def __enter__(self) -> None:
        self._wall = time.perf_counter_ns()
        self._cpu = time.process_time_ns()

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time_ns() - self._cpu
        self.wall += time.perf_counter_ns() - self._wall


Body = Callable[[int, Stopwatch], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Case:
    """A case that runs in a worker: `count` operations, timed by the body itself.

    The first metric is the one that is compared (lower is better), the others stand beside it.
    """

    name: str
    title: str
    count: int
    body: Body
    metrics: tuple[Metric, ...]
    full_only: bool = False


CASES: dict[str, Case] = {}


def case(
    name: str, title: str, count: int, metrics: tuple[Metric, ...] = (WALL,)
) -> Callable[[Body], Body]:
    """Registers a coroutine function as the case `area/name`."""

    def register(body: Body) -> Body:
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = Case(name, title, count, body, metrics)
        return body

    return register
