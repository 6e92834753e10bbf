"""Writes the boards' JSON beside this folder: python -m dashboards.boards."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards import engine_and_log, money, users

FOLDER = Path(__file__).parents[1]
BOARDS = {"users": users.BOARD, "engine-and-log": engine_and_log.BOARD, "money": money.BOARD}
"""Each board by the name of its file."""


def text(board: Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(board) + "\n"


if __name__ == "__main__":
    for name, board in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(text(board), encoding="utf-8")
