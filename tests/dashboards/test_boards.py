"""The boards are what their modules say, and what Grafana takes."""

from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards.__main__ import BOARDS as BUILT
from dashboards.boards.__main__ import FOLDER, text
from tests.dashboards.expressions import BOARDS, ROOT, labels_named, panels

EVERY = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
COLUMNS = 24
LONGEST_UID = 40


def test_what_is_committed_is_what_the_modules_make() -> None:
    assert set(BUILT) == set(BOARDS)
    for name, board in BUILT.items():
        committed = (FOLDER / f"{name}.json").read_text()
        assert committed == text(board), "python -m dashboards.boards writes them anew"


@EVERY
def test_grafana_s_types_hold_all_of_it(board: dict[str, Any]) -> None:
    """Nothing is lost on the way through Grafana's own model of a board."""
    read = Dashboard.from_json(board)
    again = read.to_json()
    assert {each["type"] for each in board["panels"]} <= {"row", "timeseries", "stat"}
    assert set(again) == set(board)
    assert len(read.panels or []) == len(board["panels"])


def test_boards_are_told_apart() -> None:
    for field in ("uid", "title"):
        assert len({board[field] for board in BOARDS.values()}) == len(BOARDS)
    assert all(0 < len(board["uid"]) <= LONGEST_UID for board in BOARDS.values())


@EVERY
def test_panels_have_their_own_number_and_place(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert sorted(set(numbers)) == sorted(numbers)
    assert all(number > 0 for number in numbers)
    for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        assert apart(one, other), (one, other)
    for row in {panel["gridPos"]["y"] for panel in board["panels"]}:
        places = [each["gridPos"] for each in board["panels"] if each["gridPos"]["y"] == row]
        assert sum(place["w"] for place in places) == COLUMNS


def apart(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )


@EVERY
def test_a_panel_asks_a_question(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert "?" in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]


@EVERY
def test_queries_go_to_the_chosen_source(board: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["datasource"] == chosen
        assert [each["datasource"] for each in panel["targets"]] == [chosen] * len(panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]


@EVERY
def test_a_legend_shows_labels_that_are_there(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            shown = {part.split("}}")[0].strip() for part in target["legendFormat"].split("{{")[1:]}
            assert shown <= labels_named(target["expr"]), target


def test_what_the_chart_packs_is_this() -> None:
    packed = ROOT / "charts/kosmosx-stream/dashboards"
    assert packed.resolve() == FOLDER
