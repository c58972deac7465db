"""The checks that every test runs under do find what they are there to find."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import boros

PLANTED = """
import asyncio, os, socket, threading, time
import pytest

kept = []

def test_clean(run):
    run(asyncio.sleep(0))

def test_clean_loop(loop):
    loop.run_until_complete(asyncio.sleep(0))

def test_reports_are_looked_at(loop, reports):
    loop.call_exception_handler({"message": "expected"})
    loop.call_soon(lambda: 1 / 0)
    loop.run_until_complete(asyncio.sleep(0))
    assert len(reports) == 2

def test_bad_descriptor():
    kept.append(os.pipe())

def test_bad_thread():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(5,), daemon=True)
    thread.start()
    kept.append(stop)

def test_bad_task(run):
    async def main():
        kept.append(asyncio.ensure_future(asyncio.sleep(30)))
    run(main())

def test_bad_task_of_loop(loop):
    kept.append(loop.create_task(asyncio.sleep(30)))

def test_bad_report(loop):
    loop.call_soon(lambda: 1 / 0)
    loop.run_until_complete(asyncio.sleep(0))

def test_bad_lost_exception(loop):
    loop.create_future().set_exception(KeyError())

def test_bad_log():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
    asyncio.run(main())

def test_bad_resource():
    socket.socket()

def test_bad_coroutine():
    asyncio.sleep(0)

def test_bad_thread_exception():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

@pytest.mark.timeout(0.2)
def test_bad_hang():
    time.sleep(10)
"""


def test_planted_faults_are_found(tmp_path):
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_planted.py").write_text(PLANTED)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "test_planted.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(boros.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=20,
    )
    found = dict.fromkeys(re.findall(r"^def (test_\w+)", PLANTED, re.M), True)
    bad = set(re.findall(r"^(?:FAILED|ERROR) \S+::(test_\w+)", done.stdout, re.M))
    assert bad == {name for name in found if name.startswith("test_bad_")}, done.stdout
    # On each loop.
    assert len(re.findall(r"^(?:FAILED|ERROR) \S+::test_bad_report\[", done.stdout, re.M)) == 2
    assert len(re.findall(r"^PASSED \S+::test_clean\[", done.stdout, re.M)) == 2
