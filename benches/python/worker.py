"""A process that measures cases on one loop: a JSON object per line in, one per line out."""

import asyncio
import gc
import importlib
import json
import os
import sys
from typing import Any

import loops
import memory
from registry import CASES, Stopwatch

AREAS = ("scheduling", "timers", "tasks", "futures", "threads", "connections", "datagrams")


def load_cases() -> None:
    """Imports every area, which registers its cases."""
    for area in AREAS:
        importlib.import_module(area)


def measure(name: str, make_loop: loops.Factory, repeats: int) -> dict[str, float]:
    """Nanoseconds per operation: the best of some repetitions, as noise only ever adds."""
    case = CASES[name]
    runs = []
    for _ in range(repeats):
        gc.collect()
        watch = Stopwatch()
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(case.body(case.count, watch))
        runs.append(watch)
    return {
        "wall": min(watch.wall for watch in runs) / case.count,
        "cpu": min(watch.cpu for watch in runs) / case.count,
    }


def answer(request: dict[str, Any], make_loop: loops.Factory) -> dict[str, Any]:
    """The sample that was asked for, or why there is none."""
    try:
        if request["case"] in memory.CASES:
            return {"sample": memory.measure(request["case"], make_loop)}
        return {"sample": measure(request["case"], make_loop, request["repeats"])}
    except BaseException as error:
        # A loop may raise anything; what it raised is the result of this case.
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    # What a case prints must not come between the answers.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name = sys.argv[1]
    try:
        make_loop = loops.factory(name)
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(asyncio.sleep(0))
    except loops.Absent as absent:
        print(json.dumps({"error": str(absent)}), file=replies)
        return
    except Exception as error:
        what = f"runs no coroutine: {type(error).__name__}: {error}"
        print(json.dumps({"error": what}), file=replies)
        return
    load_cases()
    gc.collect()
    # What was imported is no part of any case's garbage.
    gc.freeze()
    print(json.dumps({"version": loops.version(name)}), file=replies)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), make_loop)), file=replies)


if __name__ == "__main__":
    main()
