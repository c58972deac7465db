"""Medians, spreads and ratios of measurements that were taken round by round."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some figures and the range that they lie in."""

    median: float
    low: float
    high: float

    def overlaps(self, other: "Spread") -> bool:
        """Whether the ranges have a value in common."""
        return self.low <= other.high and other.low <= self.high


def spread(figures: Iterable[float]) -> Spread | None:
    """Median, minimum and maximum; nothing of nothing."""
    known = sorted(figures)
    if not known:
        return None
    return Spread(statistics.median(known), known[0], known[-1])


def ratio(reference: Mapping[int, float], own: Mapping[int, float]) -> Spread | None:
    """How many times cheaper `own` is than `reference`, round by round.

    Both map rounds to costs. The two measurements of a round are neighbours in time, so a ratio
    within a round is not moved by what the machine does between rounds; rounds that lack one of
    the two do not count.
    """
    both = reference.keys() & own.keys()
    return spread(reference[number] / own[number] for number in both)


def rotated(items: list[str], by: int) -> list[str]:
    """The items in the same order from another start, so that nobody is always first."""
    if not items:
        return []
    start = by % len(items)
    return items[start:] + items[:start]
