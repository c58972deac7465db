"""What follows from samples: gates, losses, and cells of the tables."""

import pytest

import report
import worker
from gates import GATES, Gate
from network import ECHOES, LIMIT
from registry import CASES, WALL, Case
from results import Results, Row

GATE = "tasks/sleep-zero"


async def body(count: int, watch: object) -> None:
    raise AssertionError("the tests bring their own samples")


CASE = Case(GATE, "await sleep(0)", 1, body, (WALL,))


def measured(**costs: list[float]) -> Results:
    results = Results()
    for implementation, figures in costs.items():
        for number, figure in enumerate(figures):
            results.samples[GATE][implementation][number] = {"wall": figure}
    return results


def gate(results: Results) -> bool:
    return next(v.passed for v in results.verdicts([CASE]) if v.gate.case == GATE)


def row(*implementations: str) -> Row:
    return Row(CASE, lambda _: {}, list(implementations))


@pytest.mark.parametrize(("cost", "passed"), [(200.0, True), (250.0, True), (251.0, False)])
def test_a_gate_passes_from_its_factor_on(cost: float, passed: bool) -> None:
    assert gate(measured(uvloop=[1000.0], boros=[cost])) is passed


def test_a_gate_that_was_not_measured_is_missed() -> None:
    assert not gate(measured(uvloop=[1000.0]))
    assert not gate(measured(boros=[1.0]))


def test_gates_on_other_cases_are_not_judged() -> None:
    assert [verdict.gate.case for verdict in Results().verdicts([CASE])] == [GATE]


def test_a_loop_that_failed_once_has_no_figures() -> None:
    results = measured(uvloop=[1000.0, 1000.0], boros=[1.0])
    results.failures[GATE]["boros"] = "WrongAnswer: 2 instead of 1"
    assert not gate(results)
    assert report.cell(results, CASE, "boros") == "failed"
    assert report.standing(results, row("uvloop", "boros")) == "FAILED"
    assert report.notes(results) == [f"{GATE}, boros: WrongAnswer: 2 instead of 1"]


def test_a_lost_case_is_marked() -> None:
    lost = measured(uvloop=[100.0, 102.0], rloop=[50.0, 51.0], boros=[80.0, 81.0])
    assert report.standing(lost, row("uvloop", "rloop", "boros")) == "LOST to rloop"
    close = measured(uvloop=[100.0, 102.0], rloop=[79.0, 80.0], boros=[80.0, 81.0])
    text = report.standing(close, row("uvloop", "rloop", "boros"))
    assert text == "LOST to rloop (ranges overlap)"


def test_the_limit_is_no_competitor() -> None:
    results = measured(uvloop=[100.0], boros=[80.0])
    results.samples[GATE][LIMIT][0] = {"wall": 64.0}
    text = report.standing(results, row("uvloop", "boros", LIMIT))
    assert text == f"first, 1.25 × {LIMIT}"


def test_a_cell_tells_median_range_and_ratio() -> None:
    results = measured(uvloop=[100.0, 200.0, 300.0], boros=[50.0, 40.0, 60.0])
    assert report.cell(results, CASE, "boros") == "50 [40–60] 5.00×"
    assert report.cell(results, CASE, "uvloop") == "200 [100–300]"
    assert report.cell(results, CASE, "rloop") == "–"


def test_every_gate_names_a_case() -> None:
    worker.load_cases()
    known = {*CASES, *(echo.name for echo in ECHOES if not echo.full_only)}
    assert [g for g in GATES if g.case not in known] == []
    assert Gate(GATE, 4.0) in GATES
