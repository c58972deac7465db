"""Tests of the runner itself: what it makes of planted failures, hangs, crashes and lists that are out of date."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import expected  # noqa: E402
import scope  # noqa: E402
import supervisor  # noqa: E402

import report  # noqa: E402
import run  # noqa: E402

PLANTED = """
import asyncio, os, threading, unittest

class Cases(unittest.TestCase):
    def test_reaches(self):
        asyncio.new_event_loop().close()
    def test_own(self):
        pass
    def test_fails(self):
        asyncio.new_event_loop().close()
        print("printed before")
        self.assertEqual(1, 2)
    def test_raises(self):
        raise OSError("planted")
    def test_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)
    def test_hangs(self):
        threading.Event().wait()
    def test_aborts(self):
        os.abort()
    def test_interrupts(self):
        raise KeyboardInterrupt
    @unittest.skip("planted")
    def test_skipped(self):
        pass

class BrokenClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("planted")
    def test_never_runs(self):
        pass
"""


@pytest.fixture
def runner(tmp_path):
    """Runs the runner on planted tests with a list of expected non-passes; answers its exit status and its JSON."""
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cases.py").write_text(PLANTED)

    def run(*arguments, listed="", loop="asyncio", own_package=True):
        (tmp_path / "list.toml").write_text(textwrap.dedent(listed))
        command = [sys.executable, str(HERE / "run.py"), "--loop", loop, "--json", "-"]
        command += ["--expected", str(tmp_path / "list.toml"), "--timeout", "2"]
        if own_package:
            command += ["--package", "planted", "--module", "cases"]
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        document = json.loads(done.stdout) if done.stdout else None
        return done.returncode, document, done.stderr

    return run


def outcomes(document):
    return {test["test"]: (test["outcome"], test["verdict"]) for test in document["tests"]}


def test_tells_what_reached_the_loop(runner):
    status, document, _ = runner(
        "--only", "test_reaches", "--only", "test_own", "--only", "test_skipped"
    )
    assert status == 0
    assert outcomes(document) == {
        "cases.Cases.test_reaches": ("passed", "passed"),
        "cases.Cases.test_own": ("passed", "own"),
        "cases.Cases.test_skipped": ("skipped", "skipped"),
    }
    assert document["summary"]["applicable"] == document["summary"]["passed"] == 1


def test_goes_on_after_failures_hangs_and_crashes(runner):
    status, document, shown = runner()
    assert status == 1
    failure = "unexpected failure"
    assert outcomes(document) == {
        "cases.Cases.test_reaches": ("passed", "passed"),
        "cases.Cases.test_own": ("passed", "own"),
        "cases.Cases.test_fails": ("failed", failure),
        "cases.Cases.test_raises": ("error", failure),
        "cases.Cases.test_subtests": ("failed", failure),
        "cases.Cases.test_hangs": ("timeout", failure),
        "cases.Cases.test_aborts": ("crash", failure),
        "cases.Cases.test_interrupts": ("error", failure),
        "cases.Cases.test_skipped": ("skipped", "skipped"),
        "cases.BrokenClass.test_never_runs": ("error", failure),
    }
    details = {test["test"].rpartition(".")[2]: test["detail"] for test in document["tests"]}
    assert "1 != 2" in details["test_fails"]
    assert "printed before" in details["test_fails"]
    assert "test_hangs" in details["test_hangs"], "the stacks of the hang"
    assert "SIGABRT" in details["test_aborts"]
    assert "setUpClass" in details["test_never_runs"]
    assert "OSError: planted" in shown


def test_listed_failures_are_no_surprise(runner):
    listed = """
        [[expected]]
        tests = ["cases.Cases.test_fails", "cases.Cases.test_h*"]
        reason = "planted"
    """
    status, document, _ = runner("--only", "test_fails", "--only", "test_hangs", listed=listed)
    assert status == 0
    assert document["summary"]["listed"] == 2


def test_unexpected_pass_fails(runner):
    listed = """
        [[expected]]
        tests = ["cases.Cases.test_reaches"]
        reason = "planted"
    """
    status, document, shown = runner("--only", "test_reaches", listed=listed)
    assert status == 1
    assert outcomes(document) == {"cases.Cases.test_reaches": ("passed", "unexpected pass")}
    assert "unexpected pass: cases.Cases.test_reaches: listed as 'planted'" in shown


def test_entry_for_a_test_that_is_gone_fails(runner):
    listed = """
        [[expected]]
        tests = ["cases.Cases.test_gone"]
        reason = "planted"
    """
    status, document, _ = runner("--only", "test_reaches", listed=listed)
    assert status == 1
    assert ["cases.Cases.test_gone" in problem for problem in document["problems"]] == [True]


def test_nothing_to_run_fails(runner):
    status, document, _ = runner("--only", "no_such_test")
    assert status == 1
    assert document["problems"] == ["no test ran"]


def test_bad_calls(runner):
    assert runner("--loop", "nothing")[0] == 2
    status, _, shown = runner(listed="[[expected]]\ntests = ['cases.x']")
    assert status == 2
    assert "'reason' is missing" in shown


@pytest.mark.parametrize(
    ("loops", "problems"), [(0, ["no test of test_locks reached boros"]), (1, [])]
)
def test_a_module_that_never_reaches_the_loop_is_a_problem(loops, problems):
    options = run.parse(["--module", "test_locks"])
    outcome = supervisor.Outcome("test_locks.LockTests.test_repr", "passed", loops=loops)
    judged = [report.judge(outcome, expected.ExpectedList())]
    assert (
        run.find_problems(options, judged, [outcome.test], expected.ExpectedList(), ()) == problems
    )


def test_too_few_tests_that_reach_the_loop_are_a_problem():
    known = expected.ExpectedList(least_applicable=2)
    outcome = supervisor.Outcome("test_locks.LockTests.test_repr", "passed", loops=1)
    judged = [report.judge(outcome, known)]
    problems = run.find_problems(run.parse([]), judged, [outcome.test], known, ())
    assert problems == ["only 1 tests reached boros, at least 2 have to"]


def test_pairs_foreign_classes_with_the_c_ones(runner, tmp_path):
    (tmp_path / "boros.py").write_text(
        textwrap.dedent("""
            import asyncio
            EventLoop = asyncio.SelectorEventLoop
            EventLoopPolicy = asyncio.DefaultEventLoopPolicy
            new_event_loop = asyncio.SelectorEventLoop
            class Future(asyncio.futures._PyFuture): pass
            class Task(asyncio.tasks._PyTask): pass
        """)
    )
    status, document, _ = runner(
        "--module",
        "test_tasks",
        "--only",
        "test_wait_for_cancellation_error",
        "--only",
        "_Tests.test_wait",
        loop="boros",
        own_package=False,
    )
    assert status == 0
    reached = {test["test"].split(".")[1] for test in document["tests"] if test["classes"]}
    assert {
        "Task_CPythonFuture_Tests",
        "CPythonTask_Future_Tests",
        "CTask_CFuture_Tests",
        "CTask_PyFuture_Tests",
    } <= reached
    assert "PyTask_PyFuture_Tests" not in reached


@pytest.mark.parametrize(
    ("version", "specification", "holds"),
    [
        ((3, 12, 1), "", True),
        ((3, 12, 1), ">=3.12", True),
        ((3, 12, 1), ">3.12", False),
        ((3, 12, 1), "<3.13,>=3.12", True),
        ((3, 13, 0), "<3.13", False),
        ((3, 13, 0), "==3.13.0", True),
        ((3, 13, 1), "<=3.13", True),
    ],
)
def test_version_ranges(version, specification, holds):
    assert expected.version_in(version, specification) is holds


def test_version_range_that_makes_no_sense():
    with pytest.raises(expected.ExpectedError, match="~3"):
        expected.version_in((3, 12, 1), "~3.12")


def test_what_a_default_run_leaves_out():
    assert not scope.is_later("test_events.EPollEventLoopTests.test_create_connection")
    assert scope.is_later("test_protocols.ProtocolsAbsTests.test_empty")


def test_the_committed_list_is_well_formed():
    for minor in (11, 12, 13):
        known = expected.load(HERE / "expected.toml", (3, minor, 0))
        assert known.least_applicable > 1000
        assert all(
            pattern.startswith("test_") for entry in known.entries for pattern in entry.tests
        )
