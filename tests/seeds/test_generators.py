"""The same years' programs of plain generators, on the native scheduler."""

from __future__ import annotations

import time
from math import isqrt

import pytest

import boros
from boros.scheduler import sleep


def lucas():
    last, this = 2, 1
    while True:
        yield last
        last, this = this, last + this


def search(numbers, wanted):
    """The first wanted number, a turn given up after each that is not."""
    for number in numbers:
        if wanted(number):
            return number
        yield
    raise ValueError("none found")


def is_prime(number):
    """A generator that gives up its turn at every division, and returns the answer."""
    if number < 2:
        return False
    for divisor in range(2, isqrt(number) + 1):
        if number % divisor == 0:
            return False
        yield from sleep(0)
    return True


def print_primes(numbers, last):
    for number in numbers:
        if number > last:
            return
        if (yield from is_prime(number)):
            print("Found:", number, end=", ")
        yield


def test_a_search_by_hand_then_by_the_scheduler(capsys):
    by_hand = search(lucas(), lambda number: number >= 10)
    for _ in range(5):
        assert next(by_hand) is None
    with pytest.raises(StopIteration) as found:
        next(by_hand)
    assert found.value.value == 11

    scheduler = boros.Scheduler(trace=True)
    task = scheduler.add(search(lucas(), lambda number: len(str(number)) >= 6))
    assert task == 0
    scheduler.run_until_complete()
    *yields, last = capsys.readouterr().out.splitlines()
    assert yields == ["Running task 0 ... now yielded"] * 24
    assert last == "Running task 0 ... completed with result: 103682"
    assert scheduler.completed_task_results == {0: 103682}


def test_countdowns_take_turns():
    printed = []

    def countdown(name, number):
        while number:
            printed.append((name, number))
            yield number
            number -= 1

    scheduler = boros.Scheduler()
    for name, number in [("a", 2), ("b", 3), ("c", 4)]:
        scheduler.add(countdown(name, number))
    scheduler.run_until_complete()
    assert printed == [
        ("a", 2), ("b", 3), ("c", 4),
        ("a", 1), ("b", 2), ("c", 3),
        ("b", 1), ("c", 2),
        ("c", 1),
    ]  # fmt: skip


def test_a_failing_search_is_kept_not_lost(capsys):
    scheduler = boros.Scheduler(trace=True)
    scheduler.add(search([1, 2], lambda number: number > 2))
    scheduler.run_until_complete()
    assert str(scheduler.failed_task_error[0]) == "none found"
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Running task 0 ... failed with exception: none found"
    )


def test_messages_between_primes(capsys):
    hunting = [True]

    def repeat(message):
        while hunting:
            print(message)
            yield from sleep(0)

    def hunt():
        yield from print_primes(lucas(), 54018521)
        hunting.clear()

    scheduler = boros.Scheduler()
    scheduler.add(hunt())
    scheduler.add(repeat("Message"))
    scheduler.run_until_complete()
    output = capsys.readouterr().out
    for number in (2, 3, 7, 11, 29, 47, 199, 521, 2207, 3571, 9349, 3010349, 54018521):
        assert f"Found: {number}, " in output
    # One for every division: the hunt gives up its turn each time.
    between = output[output.index("Found: 3010349") : output.index("Found: 54018521")]
    assert between.count("Message") >= isqrt(54018521) - 1


def test_a_predicate_that_blocks_is_found_out():
    def blocking_prime(number):
        return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))

    def hunt():
        # Millions of divisions without a turn for anybody.
        yield
        assert blocking_prime(10_000_000_000_037)

    steps = []
    scheduler = boros.Scheduler(blocking_threshold=0.05, on_blocking=steps.append)
    culprit = scheduler.add(hunt())
    scheduler.add(search(lucas(), lambda number: number > 1000))
    scheduler.run_until_complete()
    # Not the only one, perhaps, where the whole machine is held up.
    assert culprit in [step.task for step in steps]
    assert all(step.duration > 0.05 for step in steps) and not scheduler.failures


def test_two_sleepers_that_can_be_spoken_to():
    """Generators asleep by the clock, driven by hand with send, and as tasks."""

    def sleeper(seconds, heard):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            heard.append((yield "still asleep"))
        return f"slept {seconds}"

    heard, results = ([], []), {}
    pair = {name: sleeper(0.01 * (name + 1), heard[name]) for name in range(2)}
    for one in pair.values():
        assert next(one) == "still asleep"
    while pair:
        for name, one in list(pair.items()):
            try:
                assert one.send(f"awake, {name}?") == "still asleep"
            except StopIteration as end:
                results[name] = end.value
                del pair[name]
    assert results == {0: "slept 0.01", 1: "slept 0.02"} and list(results) == [0, 1]
    assert set(heard[0]) == {"awake, 0?"} and set(heard[1]) == {"awake, 1?"}

    scheduler = boros.Scheduler()
    for name in range(2):
        scheduler.add(sleeper(0.01 * (name + 1), []))
    scheduler.run_until_complete()
    assert scheduler.results == results
