"""Runs one test module in worker processes, with a new worker after each hang and each crash."""

import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")

# What is kept of a test's output when it does not pass.
OUTPUT_TAIL = 4000

# A worker dumps its stacks and exits when a test takes too long. Outside of tests, and when it cannot, it is ended
# after so many seconds more.
GRACE = 3.0


@dataclasses.dataclass
class Outcome:
    """How one test ended. `loops` and `classes` say how often it reached the implementation."""

    test: str
    outcome: str  # passed, skipped, failed, error, timeout, crash
    detail: str = ""
    seconds: float = 0.0
    loops: int = 0
    classes: int = 0

    @property
    def module(self) -> str:
        return self.test.partition(".")[0]

    @property
    def met(self) -> bool:
        """Whether the test reached the implementation."""
        return self.loops + self.classes > 0


@dataclasses.dataclass(frozen=True)
class Request:
    """What to run, and how."""

    package: str
    module: str
    loop: str
    timeout: float
    select: Callable[[str], bool]


class Worker:
    """A worker process with the pipes to it."""

    def __init__(self, request: Request, directory: Path) -> None:
        self._dump = directory / "stacks"
        self._dump.write_text("")
        self._output = directory / "output"
        self._buffer = b""
        self._read, write = os.pipe()
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
        }
        with open(self._output, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", str(WORKER), str(write)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=environment,
                pass_fds=[write],
                start_new_session=True,
            )
        os.close(write)
        _live.add(self)
        self._send(
            {
                "package": request.package,
                "module": request.module,
                "loop": request.loop,
                "timeout": request.timeout,
                "dump": str(self._dump),
            }
        )

    def _send(self, message: object) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: the next event says so

    def choose(self, tests: list[str]) -> None:
        """Tell the worker which tests of its plan to run."""
        self._send(tests)

    def next_event(self, timeout: float) -> dict:
        """The worker's next event, or a "hang" or a "crash" in its place."""
        silent, last = 0.0, time.monotonic()
        while b"\n" not in self._buffer:
            dead = self._process.poll() is not None
            # A process that a test forked may hold the pipe open, so its end alone does not tell.
            ready, _, _ = select.select([self._read], [], [], 0 if dead else 0.2)
            data = os.read(self._read, 1 << 16) if ready else b""
            if data:
                self._buffer += data
            elif dead or ready:
                if stacks := self._dump.read_text(errors="replace"):
                    return {"event": "hang", "detail": stacks}
                return {"event": "crash", "detail": self._how_it_died()}
            now = time.monotonic()
            # A leap of the clock is a machine that was suspended, not a test that hangs.
            silent, last = silent + min(now - last, 1.0), now
            if not data and silent > timeout:
                return {"event": "hang", "detail": "no answer"}
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _how_it_died(self) -> str:
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    def output(self, start: int) -> str:
        """What was printed since `start`, shortened from the front."""
        with open(self._output, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - OUTPUT_TAIL))
            return file.read().decode(errors="replace").strip()

    def end(self) -> None:
        """End the worker and whatever it started."""
        self.kill()
        _live.discard(self)
        self._process.wait()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        os.close(self._read)

    def kill(self) -> None:
        """Kill the worker's processes; may be called from any thread while another one follows it."""
        try:
            # It leads its own session, so this reaches only its descendants.
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


_live: set[Worker] = set()


def kill_all() -> None:
    """Kill the workers of a run that is given up."""
    for worker in list(_live):
        worker.kill()


def run_module(request: Request, report: Callable[[Outcome], None]) -> list[str]:
    """Run the selected tests of one module, report each outcome, and return the ids of all the tests it has."""
    plan: list[str] | None = None
    remaining: list[str] = []
    while True:
        with tempfile.TemporaryDirectory(
            prefix="test-cpython-", ignore_cleanup_errors=True
        ) as directory:
            worker = Worker(request, Path(directory))
            try:
                first = worker.next_event(request.timeout + 30)
                if first["event"] != "plan":
                    detail = (
                        f"{first['event']} while importing\n{first['detail']}\n{worker.output(0)}"
                    )
                    if plan is None:
                        report(Outcome(f"{request.module}.(import)", "error", detail))
                    for test in remaining:
                        report(Outcome(test, "error", detail))
                    return plan or []
                if plan is None:
                    plan = first["tests"]
                    remaining = [test for test in plan if request.select(test)]
                worker.choose(remaining)
                finished = _follow(worker, request, remaining, report)
            finally:
                worker.end()
        if finished or not remaining:
            for test in remaining:
                report(Outcome(test, "error", "it did not run"))
            return plan


def _follow(
    worker: Worker, request: Request, remaining: list[str], report: Callable[[Outcome], None]
) -> bool:
    """Take a worker's events until it ends; False when it did not end well and the rest needs a new one."""
    running, output = None, 0
    while True:
        event = worker.next_event(request.timeout + GRACE)
        match event["event"]:
            case "start":
                running, output = event["test"], event["output"]
            case "done":
                del event["event"]
                outcome = Outcome(**event)
                if outcome.outcome in ("failed", "error") and (printed := worker.output(output)):
                    outcome.detail += f"\nOutput:\n{printed}"
                remaining.remove(outcome.test)
                running = None
                report(outcome)
            case "outside":
                _report_outside(event, remaining, report)
            case "end":
                return True
            case kind:
                outcome = {"hang": "timeout", "crash": "crash", "broken": "error"}[kind]
                # Between tests it was on its way to the next one, in a setUpClass for instance.
                culprit = running or next(
                    iter(remaining), f"{request.module}.(after the last test)"
                )
                detail = f"{event['detail']}\n{worker.output(output)}".strip()
                if culprit in remaining:
                    remaining.remove(culprit)
                report(
                    Outcome(culprit, outcome, detail, request.timeout if kind == "hang" else 0.0)
                )
                return False


def _report_outside(event: dict, remaining: list[str], report: Callable[[Outcome], None]) -> None:
    """Report what setUpModule, setUpClass or their counterparts did: a set-up's tests do not run."""
    detail = f"{event['method']} of {event['where']}: {event['detail']}"
    prevented = []
    if event["method"].startswith("setUp"):
        prevented = [test for test in remaining if test.startswith(event["where"] + ".")]
    for test in prevented:
        remaining.remove(test)
        report(Outcome(test, event["outcome"], detail))
    if not prevented:
        report(Outcome(f"{event['where']}.({event['method']})", event["outcome"], detail))
