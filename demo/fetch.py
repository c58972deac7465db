"""The same pages fetched one by one, by threads, and with aiohttp on boros.

Starts a server whose answers take a known time, shows each fetch as it starts
and ends, checks every body, and compares the durations. Works offline; exits
with 0 only if all went as it should.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

try:
    import aiohttp
except ImportError:
    sys.exit("the demo needs aiohttp: pip install -r requirements-demo.txt")

import boros
from server import page

#: urllib without the proxies that the environment may name.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WrongAnswer(Exception):
    """The server's answer is not the page that was asked for."""


class Fetches:
    """One way of fetching all pages: what it shows, checks and measures."""

    def __init__(self, way: str, base: str) -> None:
        self.way = way
        self.base = base
        self.checked: set[int] = set()
        self.begun = time.perf_counter()

    def show(self, what: str, number: int) -> None:
        elapsed = time.perf_counter() - self.begun
        line = f"{self.way:>10}  {elapsed:6.3f} s  {what:<5}  {self.base}/page/{number}\n"
        # In one write: threads print too.
        sys.stdout.write(line)
        sys.stdout.flush()

    def url(self, number: int) -> str:
        self.show("start", number)
        return f"{self.base}/page/{number}"

    def check(self, number: int, status: int, body: bytes) -> None:
        if status != 200 or body != page(number):
            raise WrongAnswer(f"page {number}: status {status}, {len(body)} bytes")
        self.checked.add(number)
        self.show("done", number)

    def fetch(self, number: int) -> None:
        """Fetch one page with urllib, blocking the thread."""
        with DIRECT.open(self.url(number), timeout=10) as response:
            self.check(number, response.status, response.read())

    async def fetch_all(self, count: int) -> str:
        """Fetch all pages with aiohttp; return the name of the loop that did it."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def fetch(number: int) -> None:
                async with session.get(self.url(number)) as response:
                    self.check(number, response.status, await response.read())

            await asyncio.gather(*(fetch(number) for number in range(count)))
        loop = type(asyncio.get_running_loop())
        return f"{loop.__module__}.{loop.__qualname__}"


#: Threads of the pool.
THREADS = 6


def one_by_one(fetches: Fetches, count: int) -> str:
    for number in range(count):
        fetches.fetch(number)
    return "-"


def by_threads(fetches: Fetches, count: int) -> str:
    with ThreadPoolExecutor(THREADS) as pool:
        # Through list, so that a failure is raised here.
        list(pool.map(fetches.fetch, range(count)))
    return f"- ({THREADS} threads)"


def on_boros(fetches: Fetches, count: int) -> str:
    return boros.run(fetches.fetch_all(count))


WAYS: dict[str, Callable[[Fetches, int], str]] = {
    "sequential": one_by_one,
    "threads": by_threads,
    "boros": on_boros,
}


@contextlib.contextmanager
def running_server(delay: float) -> Iterator[str]:
    """The address of a server in a process of its own, which is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("server.py")), str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the server did not start: exit status {process.wait(5)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def compare(base: str, count: int, delay: float) -> list[str]:
    """Fetch in every way, print the table, and return what is wrong."""
    wrong, table = [], []
    for way, fetch_all in WAYS.items():
        fetches = Fetches(way, base)
        loop = fetch_all(fetches, count)
        duration = time.perf_counter() - fetches.begun
        print()
        table.append((way, duration, loop))
        if fetches.checked != set(range(count)):
            wrong.append(f"{way}: only {len(fetches.checked)} of {count} pages came")
        if duration < (delay * count if way == "sequential" else delay):
            wrong.append(f"{way}: faster than the server can be")

    slowest = table[0][1]
    print(f"{count} pages, each answered after {delay} s by {base}, every body checked:\n")
    print(f"{'way':<12}{'duration':>10}{'ratio':>9}   loop")
    for way, duration, loop in table:
        print(f"{way:<12}{duration:>8.3f} s{slowest / duration:>8.1f}x   {loop}")

    way, duration, loop = table[-1]
    if not loop.startswith("boros."):
        wrong.append(f"the loop that ran is {loop}, not boros's")
    if duration >= slowest:
        wrong.append("boros is no faster than one by one")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=12, help="how many pages (12)")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds to an answer (0.3)")
    options = parser.parse_args()
    if options.pages < 2 or options.delay <= 0:
        parser.error("takes two pages or more, and a delay above zero")
    try:
        with running_server(options.delay) as base:
            wrong = compare(base, options.pages, options.delay)
    except KeyboardInterrupt:
        print("\ninterrupted; the server is stopped", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, WrongAnswer, aiohttp.ClientError) as error:
        print(f"\nthe demo failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for text in wrong:
        print(f"wrong: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
