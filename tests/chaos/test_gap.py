"""The measurement of the gap measures gaps."""

from pathlib import Path

import pytest

from tests.chaos.gap import Wait, measure, table


def test_the_table_tells_the_whole_and_its_parts() -> None:
    waits = [Wait(n / 100, 0.5, 0.25, 0.125) for n in range(1, 101)]
    assert table(waits).splitlines()[2:] == [
        "| whole | 0.50 | 0.99 | 1.00 |",
        "| until lapse | 0.50 | 0.50 | 0.50 |",
        "| until adoption | 0.25 | 0.25 | 0.25 |",
        "| until read | 0.12 | 0.12 | 0.12 |",
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_kill_interrupts_answers_until_they_are_adopted(tmp_path: Path) -> None:
    waits, wrong = await measure(tmp_path, kills=2, seed=1)
    assert not wrong
    assert len(waits) >= 2
