"""Child processes of a run, none of which outlives it."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """There is no sample, and why."""


def environment() -> dict[str, str]:
    """The caller's, without what changes how Python or asyncio run."""
    kept = ("PYTHONPATH", "PYTHONHOME")
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") or k in kept}


def before_exec(cpu: int | None) -> Callable[[], None]:
    """What a child does before its program runs: it dies with its parent, and stays on `cpu`."""

    def prepare() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return prepare


class Child:
    """A process that answers in lines on its standard output."""

    def __init__(self, arguments: list[str], cpu: int | None = None) -> None:
        self.complaints = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            env=environment(),
            preexec_fn=before_exec(cpu),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, patience: float) -> str:
        """The next line; raises Failed if it does not come in so many seconds."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], patience)
        if not ready:
            self.end()
            raise Failed(f"no answer within {patience:.0f} s")
        line = self.process.stdout.readline().decode()
        if not line:
            status = self.process.wait()
            raise Failed(f"ended with status {status}{self.last_words()}")
        return line.strip()

    def last_words(self) -> str:
        """The last line of the process's standard error, if there is one."""
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.complaints.close()


class Worker(Child):
    """worker.py on one loop."""

    def __init__(self, loop: str) -> None:
        super().__init__([sys.executable, str(HERE / "worker.py"), loop])
        try:
            hello = self.read(30.0)
        except BaseException:
            self.end()
            raise
        self.version: str = hello["version"]

    def read(self, patience: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.line(patience))
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, case: str, repeats: int, patience: float = 30.0) -> dict[str, float]:
        """A sample of a case; raises Failed."""
        assert self.process.stdin is not None
        try:
            request = json.dumps({"case": case, "repeats": repeats}).encode() + b"\n"
            # Not through the pipe's buffer: what is left in it would be written again on closing.
            os.write(self.process.stdin.fileno(), request)
        except BrokenPipeError:
            raise Failed(f"the process is gone{self.last_words()}") from None
        sample: dict[str, float] = self.read(patience)["sample"]
        return sample

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class Workers:
    """One worker per loop, started when first asked and again after a crash.

    Each `with` block has its own.
    """

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.workers:
            self.workers.popitem()[1].end()

    def of(self, loop: str) -> Worker:
        worker = self.workers.get(loop)
        if worker is None or not worker.alive:
            if worker is not None:
                worker.end()
            worker = self.workers[loop] = Worker(loop)
        return worker
