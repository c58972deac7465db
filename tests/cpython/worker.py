"""One worker process: imports one test module with the substitution in place and runs the tests it is told to.

Talks to the supervisor in JSON lines: reads one request from standard input, writes events to the descriptor given as
the only argument. What the tests print goes to standard output and error, which the supervisor keeps in a file.
"""

import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
import unittest

import implementation
from substitute import Meter, Substitution

# A test that was reported more than once (subtests, cleanups) counts as the last of these.
SEVERITY = ("none", "skipped", "passed", "failed", "error")


class EventWriter:
    """Writes events to the supervisor, each one complete before the next test goes on."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._process = os.getpid()

    def write(self, event: str, **fields: object) -> None:
        if os.getpid() != self._process:
            return  # a child that a test forked
        data = (json.dumps({"event": event, **fields}) + "\n").encode()
        while data:
            data = data[os.write(self._descriptor, data) :]


class ReportingResult(unittest.TestResult):
    """Reports each test as it starts and ends, and bounds its time: at its end all stacks are dumped."""

    def __init__(
        self, events: EventWriter, meter: Meter, prefix: str, timeout: float, dump
    ) -> None:
        super().__init__()
        self._events = events
        self._meter = meter
        self._prefix = prefix
        self._timeout = timeout
        self._dump = dump
        self._clear()

    def _clear(self) -> None:
        # Also after each test: CPython 3.12.1 does not start the tests of a skipped class, but stops them.
        self._outcome = "none"
        self._details: list[str] = []
        self._started: float | None = None
        self._meter.reset()

    def name(self, test: unittest.TestCase) -> str:
        return test.id().removeprefix(self._prefix)

    def startTest(self, test):
        super().startTest(test)
        self._clear()
        self._dump.seek(0)
        self._dump.truncate()
        self._events.write("start", test=self.name(test), output=os.lseek(1, 0, os.SEEK_END))
        self._started = time.monotonic()
        # Ends this process too: a hung test cannot be got rid of in any other way.
        faulthandler.dump_traceback_later(self._timeout, exit=True, file=self._dump)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        if self._outcome == "none":
            return  # an exception is on its way that ends the run: the supervisor is told of that
        seconds = 0.0 if self._started is None else time.monotonic() - self._started
        self._events.write(
            "done",
            test=self.name(test),
            outcome=self._outcome,
            detail="\n".join(self._details),
            seconds=round(seconds, 4),
            loops=self._meter.loops,
            classes=self._meter.classes,
        )
        if self._outcome in ("failed", "error"):
            _recover()
        self._clear()

    def _note(self, test, outcome: str, detail: str) -> None:
        if not isinstance(test, unittest.TestCase):
            # "setUpClass (package.module.Class)", or setUpModule or their counterparts
            method, _, where = test.id().rstrip(")").partition(" (")
            where = where.removeprefix(self._prefix)
            self._events.write(
                "outside", method=method, where=where, outcome=outcome, detail=detail
            )
            return
        if SEVERITY.index(outcome) > SEVERITY.index(self._outcome):
            self._outcome = outcome
        if detail:
            self._details.append(detail)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._note(test, "passed", "")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "passed", "")

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "error", self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            text = (self.failures if failed else self.errors)[-1][1]
            self._note(
                test, "failed" if failed else "error", f"{subtest._subDescription()}\n{text}"
            )

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "passed, though the test is marked as an expected failure")


def _recover() -> None:
    """Keep what a failed test left behind from failing the next one."""
    import asyncio

    asyncio._set_running_loop(None)
    gc.collect()


def _flatten(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from _flatten(entry)
        else:
            yield entry


def run(request: dict, events: EventWriter) -> None:
    """Import the module, tell which tests it has, run those that the supervisor selects."""
    substitution = Substitution(implementation.load(request["loop"]))
    substitution.install()
    package = request["package"]
    prefix = package + "." if package else ""
    try:
        module = importlib.import_module(prefix + request["module"])
    except unittest.SkipTest:
        events.write("plan", tests=[])
        return
    substitution.adapt(module)
    tests = list(_flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    events.write("plan", tests=[test.id().removeprefix(prefix) for test in tests])

    selected = set(json.loads(sys.stdin.readline()))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    with open(request["dump"], "w+") as dump:
        result = ReportingResult(events, substitution.meter, prefix, request["timeout"], dump)
        unittest.TestSuite(test for test in tests if result.name(test) in selected).run(result)


def main() -> None:
    # A shell's background job ignores SIGINT, and the tests interrupt themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    faulthandler.enable()
    events = EventWriter(int(sys.argv[1]))
    request = json.loads(sys.stdin.readline())
    try:
        run(request, events)
    except BaseException:
        # KeyboardInterrupt and SystemExit too: a test let them escape.
        events.write("broken", detail=traceback.format_exc())
    else:
        events.write("end")
    sys.stdout.flush()
    # Without the interpreter's exit, which waits for threads that a failed test may have left.
    os._exit(0)


if __name__ == "__main__":
    main()
