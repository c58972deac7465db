"""Whole programs of the years of ``yield from``, run unmodified by the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isqrt
from pathlib import Path

import pytest

import boros

PROGRAMS = Path(__file__).parent / "programs"
PACKAGE = str(Path(boros.__file__).parents[1])


def run_program(name, *arguments):
    """Run a program with ``python -m boros --compat``; return the lines it prints."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "boros",
            "--compat",
            str(PROGRAMS / name),
            *arguments,
        ],
        env={**os.environ, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert done.stderr == "" and done.returncode == 0
    return done.stdout.splitlines()


LUCAS_PRIMES = [2, 3, 7, 11, 29, 47, 199, 521, 2207, 3571, 9349, 3010349, 54018521]


def test_endless_tasks_take_turns():
    lines = run_program("forever.py")
    assert re.match(r"<Task pending .*coro=<repeat\(\) running at .*forever.py:\d+>.*>", lines[0])
    found = [int(line.removeprefix("Found: ")) for line in lines if line.startswith("Found: ")]
    # The last one searched is the first that is greater.
    assert found == LUCAS_PRIMES
    assert set(lines[1:]) == {"Message", *(f"Found: {number}" for number in found)}
    # One for every division, which each let the other task run.
    between = lines[lines.index("Found: 3010349") : lines.index("Found: 54018521")]
    assert between.count("Message") >= isqrt(54018521) - 1


def test_a_future_is_filled_and_watched():
    *waiting, number, done = run_program("promise.py")
    assert number == "3010349" and done == "Done!"
    assert set(waiting) == {"Waiting"}


def test_a_future_takes_an_exception():
    *waiting, error, done = run_program("promise.py", "hopeless")
    assert error == "Failed: none found" and done == "Done!"
    assert set(waiting) == {"Waiting"}


def test_a_task_is_a_future():
    *waiting, number, done = run_program("task.py")
    assert number == "3010349" and done == "Done!" and set(waiting) == {"Waiting"}


def test_the_first_asyncio():
    assert run_program("early.py") == [
        "['None', 'consumed'] 0 [0, 1, 2, 3, 4]",
        "['not even a generator', 'from the future']",
        "True not even a generator",
    ]


@pytest.fixture
def meeting_server():
    """A server that answers when five requests are there, and no sooner; its address."""
    barrier = threading.Barrier(5)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                barrier.wait(10)
            except threading.BrokenBarrierError:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_addresses_are_fetched_at_once(meeting_server):
    pytest.importorskip("aiohttp")
    addresses = [f"{meeting_server}/{number}" for number in range(5)]
    lines = run_program("fetch.py", *addresses)
    assert lines[:5] == [f"Start {address}" for address in addresses]
    assert sorted(lines[5:]) == [f"Done {address} 200" for address in addresses]
