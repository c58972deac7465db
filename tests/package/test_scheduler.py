"""boros.Scheduler: turns, results, failures, sleep, traces, and hard use."""

from __future__ import annotations

import contextvars
import gc
import logging
import signal
import threading
import time
import weakref
from random import Random

import pytest

import boros
from boros.scheduler import sleep


def count(n, log=None, name=""):
    for i in range(n):
        if log is not None:
            log.append((name, i))
        yield
    return n


def test_tasks_take_turns():
    log = []
    scheduler = boros.Scheduler()
    ids = [scheduler.add(count(n, log, n)) for n in (1, 3, 2)]
    assert ids == [0, 1, 2]
    assert scheduler.run_until_complete() is None
    assert log == [(1, 0), (3, 0), (2, 0), (3, 1), (2, 1), (3, 2)]
    assert scheduler.results == {0: 1, 1: 3, 2: 2}
    assert scheduler.failures == {} and scheduler.executable_tasks == []


def test_ids_are_each_schedulers_own_and_never_used_again():
    first, second = boros.Scheduler(), boros.Scheduler()
    assert [first.add(count(0)), second.add(count(0)), first.add(count(0))] == [0, 0, 1]
    first.run_until_complete()
    assert first.add(count(0)) == 2


def test_nothing_to_run():
    boros.Scheduler().run_until_complete()


def test_failures_are_kept_and_the_others_go_on():
    def fail():
        yield
        raise LookupError("lost")

    scheduler = boros.Scheduler()
    bad, good = scheduler.add(fail()), scheduler.add(count(5))
    scheduler.run_until_complete()
    error = scheduler.failures[bad]
    assert type(error) is LookupError and error.args == ("lost",)
    assert error.__traceback__.tb_frame.f_code.co_name == "fail"
    assert scheduler.results == {good: 5} and list(scheduler.failures) == [bad]
    assert scheduler.completed_task_results is scheduler.results
    assert scheduler.failed_task_error is scheduler.failures


def test_return_values_of_every_kind():
    def give(value):
        return value
        yield

    values = [None, (), (1, 2), StopIteration(3), KeyError]
    scheduler = boros.Scheduler()
    for value in values:
        scheduler.add(give(value))
    scheduler.run_until_complete()
    assert list(scheduler.results.values()) == values


def test_yielded_values_are_allowed_and_traced():
    def values():
        yield 1
        yield "two"

    steps = []
    scheduler = boros.Scheduler(trace=steps.append)
    scheduler.add(values())
    scheduler.run_until_complete()
    assert [(step.outcome, step.value) for step in steps] == [
        ("yielded", 1),
        ("yielded", "two"),
        ("returned", None),
    ]


def test_other_iterators_run_too():
    scheduler = boros.Scheduler()
    task = scheduler.add(iter([1, 2, 3]))
    scheduler.run_until_complete()
    assert scheduler.results == {task: None}


async def coroutine():
    pass


@pytest.mark.parametrize(
    "what, hint", [(None, ""), ([1], ""), (count, "called first"), (coroutine, "boros.run")]
)
def test_what_is_not_a_generator_is_refused(what, hint):
    made = what() if what is coroutine else what
    with pytest.raises(TypeError, match=f"a generator was expected, got .*{hint}"):
        boros.Scheduler().add(made)
    if what is coroutine:
        made.close()


def test_running_finished_and_repeated_generators_are_refused():
    scheduler = boros.Scheduler()

    def adds_itself():
        with pytest.raises(ValueError, match="generator already executing"):
            scheduler.add(itself)
        yield

    itself = adds_itself()
    next(itself)
    assert scheduler.add(itself) == 0
    with pytest.raises(ValueError, match="already a task"):
        scheduler.add(itself)
    scheduler.run_until_complete()
    with pytest.raises(RuntimeError, match="finished generator"):
        scheduler.add(itself)


def test_a_started_generator_goes_on():
    generator = count(3)
    next(generator)
    scheduler = boros.Scheduler()
    scheduler.add(generator)
    scheduler.run_until_complete()
    assert scheduler.results == {0: 3}


def test_tasks_add_tasks():
    scheduler = boros.Scheduler()

    def tree(depth):
        yield
        if depth:
            for _ in range(2):
                scheduler.add(tree(depth - 1))
        return depth

    scheduler.add(tree(6))
    scheduler.run_until_complete()
    assert sorted(scheduler.results.values()) == sorted(
        d for d in range(7) for _ in range(2 ** (6 - d))
    )


def test_executable_tasks_are_in_the_order_of_their_turns():
    scheduler = boros.Scheduler()
    seen = []

    def look():
        yield
        seen.extend((task.id, task.routine) for task in scheduler.executable_tasks)

    def rest():
        yield from sleep(0.01)

    sleeper, other = rest(), count(3)
    scheduler.add(sleeper)
    scheduler.add(look())
    scheduler.add(other)
    scheduler.run_until_complete()
    assert seen == [(2, other), (0, sleeper)]


def test_sleepers_wake_by_deadline():
    log = []

    def nap(name, seconds):
        yield from sleep(seconds)
        log.append(name)

    scheduler = boros.Scheduler()
    for name, seconds in [("c", 0.06), ("a", 0.02), ("b", 0.04), ("a too", 0.02)]:
        scheduler.add(nap(name, seconds))
    begun = time.monotonic()
    scheduler.run_until_complete()
    assert log == ["a", "a too", "b", "c"]
    assert 0.06 <= time.monotonic() - begun < 5


def test_others_run_while_one_sleeps():
    woken = []

    def nap():
        yield from sleep(0.05)
        woken.append(True)

    def work():
        steps = 0
        while not woken:
            steps += 1
            yield
        return steps

    scheduler = boros.Scheduler()
    scheduler.add(nap())
    worker = scheduler.add(work())
    scheduler.run_until_complete()
    assert scheduler.results[worker] > 100


def test_no_cpu_is_burnt_when_all_sleep():
    scheduler = boros.Scheduler()
    for _ in range(10):
        scheduler.add(sleep(0.3))
    begun, cpu = time.monotonic(), time.process_time()
    scheduler.run_until_complete()
    assert time.monotonic() - begun >= 0.3
    assert time.process_time() - cpu < 0.15


@pytest.mark.parametrize("seconds", [0, -1, -float("inf"), 0.0])
def test_sleep_of_nothing_gives_up_one_turn(seconds):
    log = []

    def rest(name):
        for i in range(2):
            log.append((name, i))
            yield from sleep(seconds)

    scheduler = boros.Scheduler()
    scheduler.add(rest("a"))
    scheduler.add(rest("b"))
    scheduler.run_until_complete()
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_sleep_refuses_nonsense():
    with pytest.raises(ValueError, match="NaN"):
        sleep(float("nan"))
    with pytest.raises(TypeError):
        sleep("long")
    assert next(sleep(float("inf"))).seconds == float("inf")


def test_printed_trace(capsys):
    def talk():
        print("Found: 2", end=", ")
        yield
        yield from sleep(0)
        return "done"

    def fail():
        yield
        raise ValueError("no luck")

    scheduler = boros.Scheduler(trace=True)
    scheduler.add(talk())
    scheduler.add(fail())
    scheduler.run_until_complete()
    assert capsys.readouterr().out.splitlines() == [
        "Running task 0 ... Found: 2, now yielded",
        "Running task 1 ... now yielded",
        "Running task 0 ... now sleeping for 0.0 seconds",
        "Running task 1 ... failed with exception: no luck",
        "Running task 0 ... completed with result: 'done'",
    ]


def test_trace_records():
    error = ValueError("no luck")

    def fail():
        yield from sleep(0.01)
        raise error

    steps = []
    routine = fail()
    scheduler = boros.Scheduler(trace=steps.append)
    scheduler.add(routine)
    scheduler.run_until_complete()
    assert [(step.task, step.outcome, step.value) for step in steps] == [
        (0, "sleeping", 0.01),
        (0, "raised", error),
    ]
    assert all(0 <= step.duration < 1 and step.routine is routine for step in steps)
    assert repr(steps[0]).startswith("Step(task=0, outcome='sleeping', value=0.01, duration=0.0")


def test_a_failing_trace_loses_nothing():
    def trace(step):
        if step.outcome == "returned":
            raise OSError("trace")

    scheduler = boros.Scheduler(trace=trace)
    for _ in range(3):
        scheduler.add(count(2))
    for _ in range(3):
        with pytest.raises(OSError, match="trace"):
            scheduler.run_until_complete()
    scheduler.run_until_complete()
    assert scheduler.results == {0: 2, 1: 2, 2: 2}


def test_a_closed_stdout_loses_nothing(monkeypatch):
    class Closed:
        def write(self, text):
            raise ValueError("closed")

    scheduler = boros.Scheduler(trace=True)
    scheduler.add(count(2))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", Closed())
        with pytest.raises(ValueError, match="closed"):
            scheduler.run_until_complete()
    scheduler.run_until_complete()
    assert scheduler.results == {0: 2}


def block(seconds):
    yield
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    yield


def test_a_blocking_step_is_reported_to_a_callable():
    steps = []
    scheduler = boros.Scheduler(blocking_threshold=0.05, on_blocking=steps.append)
    scheduler.add(count(3))
    scheduler.add(block(0.1))
    scheduler.run_until_complete()
    (step,) = steps
    assert step.task == 1 and step.outcome == "yielded" and step.duration >= 0.1


def test_a_blocking_step_is_logged(caplog):
    scheduler = boros.Scheduler(blocking_threshold=0.05)
    scheduler.add(block(0.1))
    with caplog.at_level(logging.WARNING, "boros.scheduler"):
        scheduler.run_until_complete()
    (record,) = caplog.records
    assert record.name == "boros.scheduler" and record.levelno == logging.WARNING
    text = record.getMessage()
    assert text.startswith("A step of task 0 (<generator object block at 0x")
    assert text.endswith(" seconds")


def test_sleeping_is_not_blocking():
    steps = []
    scheduler = boros.Scheduler(blocking_threshold=0.02, on_blocking=steps.append)
    scheduler.add(sleep(0.05))
    scheduler.run_until_complete()
    assert not steps


@pytest.mark.parametrize(
    "options, error",
    [
        ({"trace": 3}, TypeError),
        ({"on_blocking": "log"}, TypeError),
        ({"blocking_threshold": -1}, ValueError),
        ({"blocking_threshold": float("nan")}, ValueError),
        ({"blocking_threshold": "slow"}, TypeError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_bad_options(options, error):
    with pytest.raises(error):
        boros.Scheduler(**options)


def test_each_task_has_its_own_context():
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("outside")

    def task(value):
        before = variable.get()
        variable.set(value)
        yield
        return before, variable.get()

    scheduler = boros.Scheduler()
    scheduler.add(task("a"))
    scheduler.add(task("b"))
    mine = contextvars.copy_context()
    mine.run(variable.set, "given")
    scheduler.add(task("c"), context=mine)
    scheduler.run_until_complete()
    assert list(scheduler.results.values()) == [("outside", "a"), ("outside", "b"), ("given", "c")]
    assert variable.get() == "outside" and mine[variable] == "c"
    with pytest.raises(TypeError, match=r"contextvars\.Context"):
        scheduler.add(count(1), context={})


def test_a_context_in_use_fails_the_task_alone():
    scheduler = boros.Scheduler()
    context = contextvars.copy_context()

    def run():
        scheduler.add(count(1), context=context)
        scheduler.add(count(1))
        scheduler.run_until_complete()

    context.run(run)
    assert type(scheduler.failures[0]) is RuntimeError and scheduler.results == {1: 1}


def test_running_twice_at_once_is_refused():
    scheduler = boros.Scheduler()

    def nest():
        yield
        scheduler.run_until_complete()

    scheduler.add(nest())
    scheduler.run_until_complete()
    assert type(scheduler.failures[0]) is RuntimeError
    assert "already running" in str(scheduler.failures[0])
    scheduler.add(count(1))
    scheduler.run_until_complete()
    assert scheduler.results == {1: 1}


def test_another_thread_is_refused_while_running():
    scheduler = boros.Scheduler()
    caught = []

    def race():
        try:
            scheduler.run_until_complete()
        except RuntimeError as error:
            caught.append(error)

    def start():
        thread = threading.Thread(target=race)
        thread.start()
        while thread.is_alive():
            yield from sleep(0.001)
        thread.join()

    scheduler.add(start())
    scheduler.run_until_complete()
    assert len(caught) == 1 and not scheduler.failures


def test_one_scheduler_inside_another():
    def outer():
        inner = boros.Scheduler()
        inner.add(count(3))
        yield
        inner.run_until_complete()
        return dict(inner.results)

    scheduler = boros.Scheduler()
    scheduler.add(outer())
    scheduler.run_until_complete()
    assert scheduler.results == {0: {0: 3}}


def test_an_interrupt_leaves_the_rest_to_be_resumed():
    log = []

    def interrupt():
        yield
        raise KeyboardInterrupt

    scheduler = boros.Scheduler()
    scheduler.add(count(3, log))
    scheduler.add(interrupt())
    scheduler.add(count(4, log))
    with pytest.raises(KeyboardInterrupt):
        scheduler.run_until_complete()
    assert type(scheduler.failures[1]) is KeyboardInterrupt
    assert [task.id for task in scheduler.executable_tasks] == [2, 0]
    scheduler.run_until_complete()
    assert scheduler.results == {0: 3, 2: 4}


def test_a_signal_while_all_sleep():
    scheduler = boros.Scheduler()

    class Interrupt(Exception):
        pass

    def handler(number, frame):
        raise Interrupt

    # From another thread, so that it comes in the middle of the sleep.
    main = threading.get_ident()

    def rest():
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
        timer.start()
        yield from sleep(0.3)
        timer.join()
        return "slept"

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        scheduler.add(rest())
        begun = time.monotonic()
        with pytest.raises(Interrupt):
            scheduler.run_until_complete()
        assert time.monotonic() - begun < 0.3
    finally:
        signal.signal(signal.SIGUSR1, before)
    scheduler.run_until_complete()
    assert scheduler.results == {0: "slept"} and time.monotonic() - begun >= 0.3


def test_cycles_are_collected():
    class Marker:
        pass

    def hold(scheduler, marker):
        yield from sleep(1000)
        yield scheduler, marker

    marker = Marker()
    scheduler = boros.Scheduler(trace=[].append, on_blocking=[].append)
    scheduler.add(hold(scheduler, marker))
    gone = weakref.ref(marker)
    del scheduler, marker
    gc.collect()
    assert gone() is None


def test_cycle_through_the_callbacks_is_collected():
    class Owner:
        def __init__(self):
            self.scheduler = boros.Scheduler(trace=self.see, on_blocking=self.see)

        def see(self, step):
            self.step = step

    owner = Owner()
    owner.scheduler.add(count(2))
    owner.scheduler.run_until_complete()
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_finalizers_may_use_the_scheduler():
    scheduler = boros.Scheduler()
    seen = []

    class Last:
        def __del__(self):
            seen.append(len(scheduler.executable_tasks))
            scheduler.add(count(1))

    def hold(last):
        yield

    scheduler.add(hold(Last()))
    scheduler.add(count(5))
    scheduler.run_until_complete()
    assert seen == [1] and scheduler.results == {0: None, 1: 5, 2: 1}


def test_finalizer_of_a_dropped_scheduler():
    ended = []

    def hold():
        try:
            yield
        finally:
            ended.append(True)

    scheduler = boros.Scheduler()
    generator = hold()
    next(generator)
    scheduler.add(generator)
    del generator, scheduler
    gc.collect()
    assert ended


def test_subclass_and_repr():
    class Mine(boros.Scheduler):
        def __init__(self, *, trace=None):
            self.name = "mine"

    scheduler = Mine()
    scheduler.add(count(1))
    assert repr(scheduler) == "<boros.Scheduler unfinished=1 results=0 failures=0>"
    scheduler.run_until_complete()
    assert repr(scheduler) == "<boros.Scheduler unfinished=0 results=1 failures=0>"


def test_many_tasks():
    scheduler = boros.Scheduler()
    for _ in range(20_000):
        scheduler.add(count(5))
    scheduler.run_until_complete()
    assert len(scheduler.results) == 20_000 and set(scheduler.results.values()) == {5}


class Model:
    """The scheduler as one would write it on a blackboard, without time."""

    def __init__(self):
        self.ready = []
        self.results = {}
        self.failures = {}
        self.added = 0

    def add(self, generator):
        self.ready.append((self.added, generator))
        self.added += 1
        return self.added - 1

    def run_until_complete(self):
        while self.ready:
            task, generator = self.ready.pop(0)
            try:
                next(generator)
            except StopIteration as stopped:
                self.results[task] = stopped.value
            except Exception as error:
                self.failures[task] = error
            else:
                self.ready.append((task, generator))


def random_task(scheduler, random, log, depth):
    """A task that yields, sleeps for nothing, adds tasks, returns or fails, by chance."""
    name = len(log)
    for step in range(random.randrange(6)):
        log.append((name, step))
        chance = random.random()
        if chance < 0.3:
            yield from sleep(0)
        elif chance < 0.5 and depth:
            log.append(scheduler.add(random_task(scheduler, random, log, depth - 1)))
        else:
            yield step
    if random.random() < 0.3:
        raise ValueError(name)
    return name


@pytest.mark.parametrize("seed", range(50))
def test_as_the_model_does(seed):
    seen = []
    for scheduler in (Model(), boros.Scheduler()):
        random, log = Random(seed), []
        for _ in range(5):
            scheduler.add(random_task(scheduler, random, log, 4))
        scheduler.run_until_complete()
        failures = {task: error.args for task, error in scheduler.failures.items()}
        seen.append((log, scheduler.results, failures))
    assert seen[0] == seen[1]
    assert list(seen[0][1]) == list(seen[1][1]), "in the order in which they ended"
