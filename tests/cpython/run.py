"""Runs the interpreter's own asyncio tests with boros in the place of asyncio's loop, futures and tasks.

Exit status: 0 when every test passed or is on the list, 1 when something unexpected happened, 2 for a wrong call.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path

import expected
import implementation
import scope
import supervisor

import report

LIST = Path(__file__).with_name("expected.toml")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument(
        "--loop",
        choices=implementation.NAMES,
        default="boros",
        help="what to put in place of asyncio's (default: boros)",
    )
    parser.add_argument(
        "--module",
        action="append",
        metavar="NAME",
        help="only this module, such as test_tasks; repeatable",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="only tests whose id holds this text or matches this glob; repeatable",
    )
    parser.add_argument(
        "--group",
        choices=("default", "later", "all"),
        default="default",
        help="later: the modules that test CPython's own classes only",
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="for each test (default: 30)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(4, len(os.sched_getaffinity(0))),
        metavar="N",
        help="modules at a time (default: one per processor, at most 4)",
    )
    parser.add_argument(
        "--expected",
        type=Path,
        metavar="FILE",
        help=f"list of expected non-passes (default: {LIST.name} for boros, none for other loops)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all results there; - for standard output"
    )
    parser.add_argument(
        "--package",
        default=scope.PACKAGE,
        metavar="NAME",
        help=f"where the test modules are (default: {scope.PACKAGE}; with another one, --module is needed)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print each test")
    options = parser.parse_args(arguments)
    if options.package != scope.PACKAGE and not options.module:
        parser.error("--package needs --module")
    if options.jobs < 1 or options.timeout <= 0:
        parser.error("--jobs and --timeout have to be positive")
    if options.expected is None and options.loop == "boros":
        options.expected = LIST
    return options


def selector(options: argparse.Namespace):
    """The function that says whether a test is to run."""
    patterns = [p if any(c in p for c in "*?[") else f"*{p}*" for p in options.only or ["*"]]
    scoped = options.package == scope.PACKAGE
    # A module that is named is meant, also when it is one of the later ones.
    group = (
        "all"
        if options.module and all(m in scope.LATER_MODULES for m in options.module)
        else options.group
    )

    def selected(test: str) -> bool:
        if scoped and not scope.in_group(test, group):
            return False
        return any(fnmatch.fnmatchcase(test, pattern) for pattern in patterns)

    return selected


def run(
    options: argparse.Namespace, modules: list[str], known: expected.ExpectedList, stream
) -> tuple[list, list]:
    """Run the modules, and return the judged outcomes and the ids of all their tests."""
    progress = report.Progress(stream, options.verbose)
    judged: list[report.Judged] = []
    lock = threading.Lock()

    def note(outcome: supervisor.Outcome) -> None:
        one = report.judge(outcome, known)
        with lock:
            judged.append(one)
            progress.show(one)

    def run_one(module: str) -> list[str]:
        return supervisor.run_module(
            supervisor.Request(
                options.package, module, options.loop, options.timeout, selector(options)
            ),
            note,
        )

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        try:
            plans = list(pool.map(run_one, modules))
        except KeyboardInterrupt:
            supervisor.kill_all()
            progress.end()
            print("interrupted", file=sys.stderr, flush=True)
            # Without waiting for the threads, which would go on with new workers.
            os._exit(130)
    progress.end()
    return judged, [test for plan in plans for test in plan]


def find_problems(
    options: argparse.Namespace,
    judged: list,
    planned: list[str],
    known: expected.ExpectedList,
    without: tuple[str, ...],
) -> list[str]:
    """What is wrong with the run as a whole: a list out of date, or tests that no longer reach the loop."""
    problems = []
    if not judged:
        problems.append("no test ran")
    ran = {one.outcome.module for one in judged}
    for entry in known.entries:
        for pattern in entry.unused(planned):
            if pattern.partition(".")[0] in ran:
                problems.append(
                    f"the list names {pattern}, but no test of this Python is called so"
                )
    if options.only or options.package != scope.PACKAGE:
        return problems
    for module in sorted(ran.difference(without)):
        if not any(one.outcome.met for one in judged if one.outcome.module == module):
            problems.append(f"no test of {module} reached {options.loop}")
    reached = sum(one.outcome.met for one in judged)
    if options.group == "default" and not options.module and reached < known.least_applicable:
        problems.append(
            f"only {reached} tests reached {options.loop}, at least {known.least_applicable} have to"
        )
    return problems


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # A terminated run must not leave workers behind either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = implementation.load(options.loop)
        known = expected.load(options.expected) if options.expected else expected.ExpectedList()
    except (ImportError, OSError, expected.ExpectedError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    modules = options.module or scope.modules(options.group)
    # With the results on standard output, people read the rest on standard error.
    stream = sys.stderr if str(options.json) == "-" else sys.stdout
    python = platform.python_version()
    print(
        f"{chosen.name} {chosen.version} under CPython {python}'s {options.package}",
        file=stream,
        flush=True,
    )

    begun = time.monotonic()
    judged, planned = run(options, modules, known, stream)
    without = scope.OWN_MODULES + (() if chosen.future else scope.FUTURE_MODULES)
    problems = find_problems(options, judged, planned, known, without)

    print(f"\n{report.table(judged)}\n", file=stream)
    unexpected = sorted((one for one in judged if one.unexpected), key=lambda one: one.outcome.test)
    for one in unexpected:
        print(f"{one.verdict}: {one.outcome.test}: {report.in_short(one)}", file=stream)
    for problem in problems:
        print(f"problem: {problem}", file=stream)
    figures = report.count(judged)
    share = 100 * figures["passed"] / figures["applicable"] if figures["applicable"] else 0.0
    print(
        f"{figures['passed']} of {figures['applicable']} applicable tests passed ({share:.1f} %), "
        f"{figures['listed']} listed, {len(unexpected)} unexpected, {time.monotonic() - begun:.0f} s",
        file=stream,
    )
    if options.json:
        head = {"loop": chosen.name, "version": chosen.version, "python": python}
        report.write_json(options.json, judged, problems, head)
    return 1 if unexpected or problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
