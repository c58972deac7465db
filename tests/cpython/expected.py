"""The committed list of tests that are expected not to pass, and the least number that must reach the loop."""

import dataclasses
import fnmatch
import operator
import re
import sys
import tomllib
from pathlib import Path

_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


class ExpectedError(ValueError):
    """The list itself is wrong: an unknown key, a missing reason, a bad version range."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """Tests that do not pass, and why. `*` in a pattern stands for any text."""

    tests: tuple[str, ...]
    reason: str

    def matches(self, test: str) -> bool:
        return any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests)

    def unused(self, tests: list[str]) -> list[str]:
        """The patterns that match none of `tests`."""
        return [pattern for pattern in self.tests if not fnmatch.filter(tests, pattern)]


@dataclasses.dataclass(frozen=True)
class ExpectedList:
    """The entries that hold for one Python version."""

    entries: tuple[Entry, ...] = ()
    least_applicable: int = 0

    def reason(self, test: str) -> str | None:
        """Why `test` is expected not to pass, or None when it has to."""
        return next((entry.reason for entry in self.entries if entry.matches(test)), None)


def version_in(version: tuple[int, ...], specification: str) -> bool:
    """Whether a Python version is in a range such as ">=3.12,<3.13"; the empty range holds every version."""
    for clause in filter(None, (part.strip() for part in specification.split(","))):
        parsed = re.fullmatch(r"(<=|>=|==|<|>)\s*(\d+(?:\.\d+)*)", clause)
        if parsed is None:
            raise ExpectedError(
                f"bad Python version range {clause!r}, expected something like '>=3.12'"
            )
        bound = tuple(int(number) for number in parsed[2].split("."))
        # "3.12" as a bound means every 3.12.x
        if not _COMPARE[parsed[1]](version[: len(bound)], bound):
            return False
    return True


def load(path: Path, version: tuple[int, ...] = sys.version_info[:3]) -> ExpectedList:
    """Read the list; OSError when it cannot be read, ExpectedError when it makes no sense."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ExpectedError(f"{path}: {error}") from error
    if unknown := data.keys() - {"expected", "least_applicable"}:
        raise ExpectedError(f"{path}: unknown key {sorted(unknown)[0]!r}")
    entries = []
    for number, raw in enumerate(data.get("expected", []), 1):
        where = f"{path}: entry {number}"
        if unknown := raw.keys() - {"tests", "reason", "python"}:
            raise ExpectedError(f"{where}: unknown key {sorted(unknown)[0]!r}")
        tests, reason = raw.get("tests"), raw.get("reason", "")
        if not (isinstance(tests, list) and tests and all(isinstance(test, str) for test in tests)):
            raise ExpectedError(f"{where}: 'tests' has to be a list of test ids")
        if not (isinstance(reason, str) and reason.strip()):
            raise ExpectedError(f"{where}: 'reason' is missing")
        if version_in(version, raw.get("python", "")):
            entries.append(Entry(tuple(tests), " ".join(reason.split())))
    least = data.get("least_applicable", {}).get(f"{version[0]}.{version[1]}", 0)
    return ExpectedList(tuple(entries), least)
