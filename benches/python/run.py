"""Runs boros beside the other loops and says who is how fast: `run.py --help`.

A round measures every case on every loop. Within a round each loop has one worker process that
stays for all microbenchmarks, so the measurements that are compared follow each other within
a fraction of a second and the order of the loops can rotate from case to case; each round has new
processes, so hash seeds and memory layouts differ from round to round and show in the spread.
Echo servers and memory measurements have a fresh process each time: there, what came before
would stay in the process.
"""

import argparse
import fnmatch
import json
import os
import sys
import time
from pathlib import Path
from typing import cast

import loops
import memory
import network
import report
import stats
import worker
from processes import Failed, Worker, Workers
from registry import CASES, Case
from results import Benchmark, Results, Row

STEADY_ROUNDS = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs boros beside the other event loops.")
    parser.add_argument("--loops", default=",".join(loops.NAMES), help="which, separated by commas")
    parser.add_argument(
        "--cases",
        default="*",
        help="which, as area, area/case or pattern, separated by commas; see --list",
    )
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="two short rounds, to see that it runs")
    size.add_argument("--full", action="store_true", help="every case, more rounds")
    parser.add_argument("--rounds", type=int, help="default 5, with --full 9, with --quick 2")
    parser.add_argument("--gate", action="store_true", help="status 1 if a speed gate is missed")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--loadgen", type=Path, metavar="FILE", help="instead of building it")
    parser.add_argument("--no-pin", action="store_true", help="server and client on any processor")
    chosen = parser.parse_args()
    unknown = set(chosen.loops.split(",")) - set(loops.NAMES)
    if unknown:
        parser.error(f"unknown loops: {', '.join(sorted(unknown))}")
    if chosen.rounds is None:
        chosen.rounds = 9 if chosen.full else 2 if chosen.quick else 5
    if chosen.rounds < 1:
        parser.error("at least one round")
    return chosen


def present(names: list[str]) -> dict[str, str]:
    """Loop → version of those that run here; says which do not."""
    found = {}
    for name in names:
        try:
            with Worker(name) as probe:
                found[name] = probe.version
        except Failed as why:
            print(f"{name} is absent: {why}", file=sys.stderr)
    return found


def wanted(name: str, patterns: str) -> bool:
    return any(
        fnmatch.fnmatch(name, pattern) or name.split("/")[0] == pattern
        for pattern in patterns.split(",")
    )


def plan(chosen: argparse.Namespace, names: list[str], workers: Workers) -> list[Row]:
    """The rows that were asked for, and how a sample of each is taken."""
    worker.load_cases()
    repeats = 1 if chosen.quick else 3
    load = network.load(chosen.loadgen, 0.2 if chosen.quick else 0.4, pin=not chosen.no_pin)

    def in_worker(case: Case) -> Row:
        return Row(case, lambda loop: workers.of(loop).ask(case.name, repeats), names)

    def in_fresh_worker(case: memory.MemoryCase) -> Row:
        def measure(loop: str) -> dict[str, float]:
            with Worker(loop) as fresh:
                return fresh.ask(case.name, 1)

        return Row(case, measure, names, steady=True)

    def served(benchmark: network.Echo | network.Idle) -> Row:
        limit = [network.LIMIT] if benchmark.has_limit else []
        steady = isinstance(benchmark, network.Idle)
        return Row(benchmark, lambda who: benchmark.measure(who, load), names + limit, steady)

    rows = [
        *map(in_worker, CASES.values()),
        *map(served, network.ECHOES),
        *map(in_fresh_worker, memory.CASES.values()),
        *map(served, network.IDLES),
    ]
    return [
        row
        for row in rows
        if wanted(row.benchmark.name, chosen.cases) and (chosen.full or not row.benchmark.full_only)
    ]


class Progress:
    """Says on standard error what was measured last and how long the rest will take."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self.begun = time.monotonic()

    def step(self, what: str) -> None:
        self.done += 1
        elapsed = time.monotonic() - self.begun
        left = elapsed / self.done * (self.steps - self.done)
        line = f"[{self.done}/{self.steps}, {left:.0f} s left] {what}"
        if sys.stderr.isatty():
            print(
                f"\r\033[K{line[:150]}",
                end="\n" if self.done == self.steps else "",
                file=sys.stderr,
            )
        else:
            print(line, file=sys.stderr)


def measure(rows: list[Row], number: int, results: Results, progress: Progress) -> None:
    """One round: every row on every implementation, in an order that rotates."""
    for index, row in enumerate(rows):
        if row.steady and number >= STEADY_ROUNDS:
            continue
        name = row.benchmark.name
        metric = row.benchmark.metrics[0]
        said = []
        for who in stats.rotated(row.implementations, number + index):
            if who in results.failures[name]:
                continue
            try:
                sample = row.measure(who)
            except Failed as why:
                results.failures[name][who] = str(why)
                said.append(f"{who} failed")
            else:
                results.samples[name][who][number] = sample
                said.append(f"{who} {report.number(sample[metric.key], metric)}")
        progress.step(f"{name}, {metric.unit}: {', '.join(said)}")


def main() -> int:
    chosen = arguments()
    if chosen.list:
        worker.load_cases()
        known = [*CASES.values(), *network.ECHOES, *memory.CASES.values(), *network.IDLES]
        for benchmark in cast(list[Benchmark], known):
            only = " (--full)" if benchmark.full_only else ""
            print(f"{benchmark.name:34} {benchmark.title}{only}")
        return 0
    found = present(chosen.loops.split(","))
    workers = Workers()
    rows = plan(chosen, list(found), workers)
    if not rows or not found:
        print("nothing to measure", file=sys.stderr)
        return 2
    if any(network.LIMIT in row.implementations for row in rows) and not chosen.loadgen:
        network.build()
    about = report.machine() | {
        "loops": ", ".join(f"{name} {version}" for name, version in found.items()),
        "rounds": str(chosen.rounds),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }
    results = Results()
    progress = Progress(
        sum(min(chosen.rounds, STEADY_ROUNDS) if row.steady else chosen.rounds for row in rows)
    )
    for number in range(chosen.rounds):
        with workers:
            measure(rows, number, results, progress)
    about["load average after"] = f"{os.getloadavg()[0]:.2f}"
    return conclude(chosen, results, rows, about)


def conclude(
    chosen: argparse.Namespace, results: Results, rows: list[Row], about: dict[str, str]
) -> int:
    """Prints and writes the report; answers the exit status."""
    verdicts = results.verdicts([row.benchmark for row in rows])
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    print(report.EXPLANATION)
    for area, table in report.tables(results, rows):
        print(f"\n{area.upper()}\n{report.plain(table)}")
    if verdicts:
        print(f"\nGATES\n{report.plain(report.gate_table(verdicts))}")
    if found := report.notes(results):
        print("\nFAILURES\n" + "\n".join(found))
    if chosen.markdown:
        chosen.markdown.write_text(report.markdown(results, rows, verdicts, about), "utf-8")
    if chosen.json:
        text = json.dumps(report.as_json(results, rows, verdicts, about), indent=1)
        chosen.json.write_text(text + "\n", "utf-8")
    failed = any(loops.OURS in failed for failed in results.failures.values())
    missed = [verdict for verdict in verdicts if not verdict.passed]
    return int(chosen.gate and (failed or bool(missed) or not verdicts))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as why:
        sys.exit(f"run.py: {why}")
    except KeyboardInterrupt:
        sys.exit(130)
