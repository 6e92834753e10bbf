"""The figures of a campaign: which wait is put down to which fault."""

import random

from tests.chaos.oracle import Verdict
from tests.chaos.reader import Question, Reading
from tests.chaos.report import ALL_KILLS, Report
from tests.chaos.strike import Strike


def strike(name: str, number: int, began: float, ended: float, *, missed: bool = False) -> Strike:
    return Strike(name, number, random.Random(0), began, ended, missed, _clock=lambda: 0.0)


def reading(*waits: tuple[float, float]) -> Reading:
    return Reading(Question("?", 1), "sse", waits=list(waits))


def report(strikes: list[Strike], readings: list[Reading]) -> Report:
    return Report(1, 60.0, strikes, readings, Verdict())


def test_an_answer_waits_once_for_a_strike_and_its_longest_wait_counts() -> None:
    kill = strike("kill -9 server, committed", 0, began=10, ended=12)
    found = report([kill], [reading((9.9, 11.0), (11.0, 11.5)), reading((10.5, 12.5))])
    assert found.waits_s[kill.name] == found.waits_s[ALL_KILLS]
    assert [round(wait, 1) for wait in found.waits_s[kill.name]] == [1.1, 2.0]


def test_a_wait_for_several_faults_or_none_is_put_down_to_none() -> None:
    strikes = [strike("kill -9 server", 0, 10, 12), strike("freeze store", 1, 11, 13)]
    waits = report(strikes, [reading((10.5, 11.5)), reading((20, 21))]).waits_s
    assert waits == {ALL_KILLS: []}


def test_a_point_that_was_not_reached_is_no_fault() -> None:
    missed = strike("kill -9 server, settled", 0, 10, 15, missed=True)
    found = report([missed], [reading((11, 12))])
    assert found.struck.total() == 0
    assert found.waits_s == {ALL_KILLS: []}


def test_the_tables_have_a_row_for_each_fault() -> None:
    strikes = [strike("kill -9 server", 0, 10, 12), strike("freeze store", 1, 20, 21)]
    tables = report(strikes, [reading((10.5, 11.75))]).tables()
    assert "| kill -9 server | 1 | 1 | 1.25 | 1.25 |" in tables
    assert "| freeze store | 1 | 0 | - | - |" in tables
    assert "| all `kill -9 server` | 1 | 1 | 1.25 | 1.25 |" in tables
