"""What a run measured, and what follows from it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import loops
from gates import GATES, Gate
from registry import Metric
from stats import Spread, ratio, spread


class Benchmark(Protocol):
    """A row of a table. The first metric is the cost that is compared."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def full_only(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A benchmark, how one implementation is measured, and which there are."""

    benchmark: Benchmark
    measure: Callable[[str], dict[str, float]]
    implementations: list[str]
    # The figure hardly differs from round to round, so that two rounds tell all.
    steady: bool = False

    @property
    def area(self) -> str:
        return self.benchmark.name.split("/")[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate and whether it was passed; no ratio means that it could not be measured."""

    gate: Gate
    ratio: Spread | None

    @property
    def passed(self) -> bool:
        return self.ratio is not None and self.ratio.median >= self.gate.factor


@dataclass(slots=True)
class Results:
    """Samples by benchmark, implementation and round; failures by benchmark and implementation."""

    samples: dict[str, dict[str, dict[int, dict[str, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    failures: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def figures(self, name: str, implementation: str, metric: Metric) -> dict[int, float]:
        """Round → figure. None of an implementation that failed: half an answer is none."""
        if implementation in self.failures[name]:
            return {}
        samples = self.samples[name][implementation]
        return {number: sample[metric.key] for number, sample in samples.items()}

    def spread(self, name: str, implementation: str, metric: Metric) -> Spread | None:
        return spread(self.figures(name, implementation, metric).values())

    def ratio(self, benchmark: Benchmark, reference: str, own: str) -> Spread | None:
        """How many times cheaper `own` is than `reference`."""
        metric = benchmark.metrics[0]
        return ratio(
            self.figures(benchmark.name, reference, metric),
            self.figures(benchmark.name, own, metric),
        )

    def verdicts(self, benchmarks: list[Benchmark]) -> list[Verdict]:
        """Every gate on one of the benchmarks, in order."""
        known = {benchmark.name: benchmark for benchmark in benchmarks}
        return [
            Verdict(gate, self.ratio(known[gate.case], loops.REFERENCE, loops.OURS))
            for gate in GATES
            if gate.case in known
        ]

    def ahead(self, benchmark: Benchmark, others: list[str]) -> list[str]:
        """The loops that are cheaper than boros here, the cheapest first."""
        ratios = {other: self.ratio(benchmark, other, loops.OURS) for other in others}
        lost = {
            other: found.median for other, found in ratios.items() if found and found.median < 1
        }
        return sorted(lost, key=lambda other: lost[other])
