"""Workers answer, tell why they do not, and are replaced when they crash."""

import asyncio
import os

import pytest

import worker
from processes import Failed, Worker, Workers, environment
from registry import CASES, Case, Stopwatch, expect


def test_a_sample_of_a_real_case() -> None:
    with Worker("asyncio") as process:
        sample = process.ask("tasks/create", 1)
    assert sample["wall"] > 0
    assert sample["cpu"] > 0


def test_an_unknown_case_is_a_failure_and_not_the_end() -> None:
    with Worker("asyncio") as process:
        with pytest.raises(Failed, match="KeyError"):
            process.ask("tasks/none", 1)
        assert process.ask("tasks/create", 1)["wall"] > 0


def test_a_loop_that_is_not_installed_is_absent() -> None:
    with pytest.raises(Failed, match="no_such_loop"):
        Worker("no_such_loop")


def test_a_worker_that_died_is_replaced() -> None:
    with Workers() as workers:
        first = workers.of("asyncio")
        first.process.kill()
        first.process.wait()
        with pytest.raises(Failed):
            first.ask("tasks/create", 1)
        assert workers.of("asyncio") is not first
        assert workers.of("asyncio").ask("tasks/create", 1)["wall"] > 0


def test_a_wrong_answer_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(count: int, watch: Stopwatch) -> None:
        with watch:
            await asyncio.sleep(0)
        expect(count, 2, "answers")

    monkeypatch.setitem(CASES, "test/wrong", Case("test/wrong", "", 1, body, ()))
    answer = worker.answer({"case": "test/wrong", "repeats": 1}, asyncio.SelectorEventLoop)
    assert answer == {"error": "WrongAnswer: answers: 1 instead of 2"}


def test_children_do_not_inherit_what_changes_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    assert "PYTHONASYNCIODEBUG" not in environment()
    assert environment()["PYTHONPATH"] == "somewhere"
    assert environment()["PATH"] == os.environ["PATH"]
