"""Judges outcomes against the list of expected non-passes and prints them for people and machines."""

import collections
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TextIO

from expected import ExpectedList
from supervisor import Outcome

COLUMNS = ("tests", "skipped", "own", "applicable", "passed", "listed", "unexpected")


@dataclasses.dataclass(frozen=True)
class Judged:
    """An outcome and what the list says of it.

    Verdicts: passed, skipped, own (passed without ever reaching the implementation), listed (did not pass, as
    expected), unexpected failure, unexpected pass.
    """

    outcome: Outcome
    verdict: str
    reason: str | None

    @property
    def unexpected(self) -> bool:
        return self.verdict.startswith("unexpected")


def judge(outcome: Outcome, expected: ExpectedList) -> Judged:
    """Compare an outcome with the list."""
    reason = expected.reason(outcome.test)
    match outcome.outcome:
        case "skipped":
            verdict = "skipped"
        case "passed" if reason is not None:
            verdict = "unexpected pass"
        case "passed":
            verdict = "passed" if outcome.met else "own"
        case _:
            verdict = "unexpected failure" if reason is None else "listed"
    return Judged(outcome, verdict, reason)


class Progress:
    """Shows the run while it goes on: one line that is rewritten on a terminal, else one now and then."""

    INTERVAL = 5.0

    def __init__(self, stream: TextIO, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._terminal = stream.isatty()
        self._shown = 0.0
        self._counts: collections.Counter[str] = collections.Counter()

    def show(self, judged: Judged) -> None:
        """Count an outcome, and print it when it is unexpected or when everything is to be seen."""
        self._counts[judged.verdict] += 1
        outcome = judged.outcome
        if judged.unexpected or self._verbose:
            self._clear()
            reason = f" ({judged.reason})" if judged.reason else ""
            print(
                f"{judged.verdict}: {outcome.test} [{outcome.outcome}, {outcome.seconds:.2f} s]{reason}",
                file=self._stream,
            )
            if judged.verdict == "unexpected failure":
                print(_indent(outcome.detail), file=self._stream)
        now = time.monotonic()
        if now - self._shown > (0.1 if self._terminal else self.INTERVAL):
            self._shown = now
            line = ", ".join(
                f"{count} {verdict}" for verdict, count in sorted(self._counts.items())
            )
            if self._terminal:
                print(f"\r\033[K{line} … {outcome.module}", end="", file=self._stream)
            elif not self._verbose:
                print(f"… {line}", file=self._stream)
        self._stream.flush()

    def _clear(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=self._stream)

    def end(self) -> None:
        """Leave the line free for what follows."""
        self._clear()


def count(judged: list[Judged]) -> dict[str, int]:
    """The figures of a group of outcomes; applicable are those that reached the implementation or did not pass."""
    verdicts = collections.Counter(one.verdict for one in judged)
    unexpected = sum(one.unexpected for one in judged)
    return {
        "tests": len(judged),
        "skipped": verdicts["skipped"],
        "own": verdicts["own"],
        "applicable": verdicts["passed"] + verdicts["listed"] + unexpected,
        "passed": verdicts["passed"],
        "listed": verdicts["listed"],
        "unexpected": unexpected,
    }


def table(judged: list[Judged]) -> str:
    """The summary, one row per module and one for all."""
    by_module: dict[str, list[Judged]] = collections.defaultdict(list)
    for one in judged:
        by_module[one.outcome.module].append(one)
    width = max([len(name) for name in by_module] + [len("module")])
    lines = [
        f"{'module':<{width}}"
        + "".join(f"{column:>12}" for column in COLUMNS)
        + f"{'reached':>12}{'seconds':>10}"
    ]
    for name, group in [*sorted(by_module.items()), ("all", judged)]:
        figures = count(group)
        reached = sum(one.outcome.met for one in group)
        seconds = sum(one.outcome.seconds for one in group)
        lines.append(
            f"{name:<{width}}"
            + "".join(f"{figures[column]:>12}" for column in COLUMNS)
            + f"{reached:>12}{seconds:>10.1f}"
        )
    return "\n".join(lines)


def write_json(
    path: Path, judged: list[Judged], problems: list[str], head: dict[str, object]
) -> None:
    """Write the whole run for machines; `-` is standard output."""
    document = {
        **head,
        "summary": count(judged),
        "problems": problems,
        "tests": [
            {**dataclasses.asdict(one.outcome), "verdict": one.verdict, "reason": one.reason}
            for one in sorted(judged, key=lambda one: one.outcome.test)
        ],
    }
    text = json.dumps(document, indent=1) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def in_short(judged: Judged) -> str:
    """One line on an unexpected outcome: the exception that a traceback names, or what the worker did."""
    outcome = judged.outcome
    if outcome.outcome == "passed":
        return f"listed as {judged.reason!r}"
    if outcome.outcome == "timeout":
        return f"no end within {outcome.seconds:g} s"
    lines = outcome.detail.partition("\nOutput:\n")[0].strip().splitlines() or [outcome.outcome]
    return lines[0 if outcome.outcome == "crash" else -1].strip()


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())
