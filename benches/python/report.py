"""Tables for people, Markdown for the documentation, JSON for programs."""

import os
import platform
from collections.abc import Iterable
from typing import Any

import loops
from network import LIMIT
from registry import Metric
from results import Benchmark, Results, Row, Verdict
from stats import Spread

NOTHING = "–"


def machine() -> dict[str, str]:
    """Where this was measured."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        models = [
            line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")
        ]
    return {
        "processor": f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.python_compiler()}",
    }


def number(value: float, metric: Metric) -> str:
    return f"{value / metric.scale:.{metric.digits}f}"


def cell(results: Results, benchmark: Benchmark, implementation: str) -> str:
    """Median, range, how many times cheaper than the reference; then the other metrics' medians."""
    primary, *others = benchmark.metrics
    found = results.spread(benchmark.name, implementation, primary)
    if found is None:
        return "failed" if implementation in results.failures[benchmark.name] else NOTHING
    low, high = number(found.low, primary), number(found.high, primary)
    text = f"{number(found.median, primary)} [{low}–{high}]"
    ratio = results.ratio(benchmark, loops.REFERENCE, implementation)
    if ratio and implementation not in (loops.REFERENCE, LIMIT):
        text += f" {ratio.median:.2f}×"
    for metric in others:
        beside = results.spread(benchmark.name, implementation, metric)
        if beside:
            text += f" · {number(beside.median, metric)} {metric.unit}"
    return text


def standing(results: Results, row: Row) -> str:
    """Whether boros is first, and how far from the limit where there is one."""
    benchmark = row.benchmark
    own = results.spread(benchmark.name, loops.OURS, benchmark.metrics[0])
    if own is None:
        return "FAILED" if loops.OURS in results.failures[benchmark.name] else NOTHING
    ahead = results.ahead(benchmark, [i for i in row.implementations if i in loops.NAMES])
    text = "first"
    if ahead:
        best = results.spread(benchmark.name, ahead[0], benchmark.metrics[0])
        close = best is not None and best.overlaps(own)
        text = f"LOST to {', '.join(ahead)}" + (" (ranges overlap)" if close else "")
    limit = results.ratio(benchmark, LIMIT, loops.OURS)
    if limit:
        text += f", {1 / limit.median:.2f} × {LIMIT}"
    return text


def tables(results: Results, rows: list[Row]) -> Iterable[tuple[str, list[list[str]]]]:
    """Area by area: its name and its cells, the header first."""
    for area in dict.fromkeys(row.area for row in rows):
        chosen = [row for row in rows if row.area == area]
        columns = list(dict.fromkeys(i for row in chosen for i in row.implementations))
        body = [["case", "unit", *columns, loops.OURS + " is"]]
        for row in chosen:
            cells = [
                cell(results, row.benchmark, i) if i in row.implementations else NOTHING
                for i in columns
            ]
            unit = row.benchmark.metrics[0].unit
            body.append([row.benchmark.title, unit, *cells, standing(results, row)])
        yield area, body


def gate_table(verdicts: list[Verdict]) -> list[list[str]]:
    def measured(ratio: Spread | None) -> str:
        if ratio is None:
            return "not measured"
        return f"{ratio.median:.2f}× [{ratio.low:.2f}–{ratio.high:.2f}]"

    head = ["gate", f"needed of {loops.REFERENCE}", "measured", ""]
    return [head] + [
        [
            v.gate.case,
            f"≥ {v.gate.factor:g}×",
            measured(v.ratio),
            "passed" if v.passed else "MISSED",
        ]
        for v in verdicts
    ]


def notes(results: Results) -> list[str]:
    """Every failure, in words."""
    return [
        f"{name}, {implementation}: {why}"
        for name, failed in results.failures.items()
        for implementation, why in failed.items()
    ]


EXPLANATION = (
    "Median of the rounds [lowest–highest]; N× is how many times cheaper than "
    f"{loops.REFERENCE} (median of the ratios within each round). Lower is better, except for "
    "requests per second (k/s)."
)


def plain(table: list[list[str]]) -> str:
    """Columns in line, for a terminal."""
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(table: list[list[str]]) -> str:
    head, *body = [f"| {' | '.join(line)} |" for line in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *body])


def markdown(
    results: Results, rows: list[Row], verdicts: list[Verdict], about: dict[str, str]
) -> str:
    """The whole report as a page."""
    parts = ["# Benchmarks", "\n".join(f"- {key}: {value}" for key, value in about.items())]
    parts.append(EXPLANATION)
    for area, table in tables(results, rows):
        parts += [f"## {area.capitalize()}", markdown_table(table)]
    if verdicts:
        parts += ["## Gates", markdown_table(gate_table(verdicts))]
    if found := notes(results):
        parts += ["## Failures", "\n".join(f"- {note}" for note in found)]
    return "\n\n".join(parts) + "\n"


def as_json(
    results: Results, rows: list[Row], verdicts: list[Verdict], about: dict[str, str]
) -> dict[str, Any]:
    """Everything that was measured, sample by sample."""
    cases: dict[str, Any] = {}
    for row in rows:
        name = row.benchmark.name
        primary = row.benchmark.metrics[0]
        implementations = cases[name] = {}
        for implementation in row.implementations:
            found = results.spread(name, implementation, primary)
            ratio = results.ratio(row.benchmark, loops.REFERENCE, implementation)
            implementations[implementation] = {
                "metric": primary.key,
                "median": found and found.median,
                "low": found and found.low,
                "high": found and found.high,
                "ratio": ratio and ratio.median,
                "failure": results.failures[name].get(implementation),
                "samples": results.samples[name][implementation],
            }
    gates = [
        {
            "case": verdict.gate.case,
            "factor": verdict.gate.factor,
            "ratio": verdict.ratio and verdict.ratio.median,
            "passed": verdict.passed,
        }
        for verdict in verdicts
    ]
    return {"about": about, "cases": cases, "gates": gates}
