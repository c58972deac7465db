"""The demo: three ways to fetch, one table, and no server left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import boros

pytest.importorskip("aiohttp")

DEMO = Path(__file__).parents[2] / "demo"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(boros.__file__).parents[1]), str(DEMO)]),
    # To be kept away from: nobody listens there.
    "http_proxy": "http://127.0.0.1:1",
}


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_table_and_lines():
    done = subprocess.run(
        [sys.executable, str(DEMO / "fetch.py"), "--pages", "4", "--delay", "0.05"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.stderr == "" and done.returncode == 0
    for way in ("sequential", "threads", "boros"):
        for what in ("start", "done"):
            lines = re.findall(
                rf"^ *{way} +[\d.]+ s  {what} +http://127\.0\.0\.1:\d+/page/\d$", done.stdout, re.M
            )
            assert len(lines) == 4, (way, what)
    table = done.stdout.splitlines()[-3:]
    assert [line.split()[0] for line in table] == ["sequential", "threads", "boros"]
    durations = [float(line.split()[1]) for line in table]
    assert durations[0] >= 0.2 and durations[2] < durations[0]
    assert table[2].split()[-1] == f"{boros.EventLoop.__module__}.EventLoop"
    assert refuses(int(re.search(r":(\d+)/", done.stdout)[1]))


def test_a_wrong_body_is_an_error():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, fetch; fetch.page = bytes; sys.exit(fetch.main())",
         "--pages", "2", "--delay", "0.01"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 1 and "WrongAnswer: page 0: status 200" in done.stderr


def test_another_loop_is_an_error():
    code = (
        "import asyncio, sys, boros, fetch; "
        "boros.run = lambda main: boros.runners.run(main, loop_factory=asyncio.SelectorEventLoop); "
        "sys.exit(fetch.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--pages", "2", "--delay", "0.01"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 1 and "not boros's" in done.stderr


def test_ctrl_c_stops_the_server():
    process = subprocess.Popen(
        [sys.executable, str(DEMO / "fetch.py"), "--delay", "30"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        first = process.stdout.readline()
        # As a terminal does: to all of its processes.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=15)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130 and errors == "\ninterrupted; the server is stopped\n"
    assert refuses(int(re.search(r":(\d+)/", first)[1]))


@pytest.mark.parametrize("options", [["--pages", "1"], ["--delay", "0"], ["--nonsense"]])
def test_bad_options(options):
    done = subprocess.run(
        [sys.executable, str(DEMO / "fetch.py"), *options],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2 and "usage:" in done.stderr
