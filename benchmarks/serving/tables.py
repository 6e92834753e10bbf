"""Medians over rounds, ratios of them, and how they are printed."""

import statistics
from collections.abc import Mapping, Sequence

WIDTH = 15
SHORT = {
    "cpu_us_a_token_": "µs/tok_",
    "cpu_us_a_token": "CPU_µs/tok",
    "valkey-server": "store",
    "_a_token": "/tok",
    "_per_core_s": "/core-s",
    "_per_s": "/s",
    "tokens": "tok",
}
LARGE = 100
"""From here on decimals say nothing."""
Figures = Mapping[str, float]
"""Figures of one run by name; the names have the units."""
Table = dict[str, dict[str, float]]
"""Medians by contender."""


def medians(runs: Mapping[str, Sequence[Figures]]) -> Table:
    """The median of every figure over a contender's runs."""
    return {
        name: {
            figure: statistics.median(run.get(figure, 0.0) for run in some) for figure in some[0]
        }
        for name, some in runs.items()
    }


def print_table(title: str, table: Table, columns: Sequence[str], *, against: str = "") -> None:
    """A line a contender; beneath each the ratios to the contender `against`, if there is one."""
    print(f"\n{title}")
    width = max(len(name) for name in table) + 2
    print(" " * width + "".join(f"{_short(each):>{WIDTH}}" for each in columns))
    for name, figures in table.items():
        print(
            f"{name:{width}}"
            + "".join(f"{_number(figures.get(each)):>{WIDTH}}" for each in columns)
        )
        if against in table and name != against:
            ratios = [_ratio(figures.get(each), table[against].get(each)) for each in columns]
            print(f"{'':{width}}" + "".join(f"{each:>{WIDTH}}" for each in ratios))


def _short(figure: str) -> str:
    for long, short in SHORT.items():
        figure = figure.replace(long, short)
    return figure.replace("_", " ")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.2f}"


def _ratio(value: float | None, other: float | None) -> str:
    return f"x {value / other:.2f}" if value and other else ""
