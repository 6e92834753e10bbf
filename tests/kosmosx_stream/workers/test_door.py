"""Who gets the next connection."""

from dataclasses import dataclass

from kosmosx_stream.workers.door import SILENT_TICKS, by_room


@dataclass
class Worker:
    """What the door looks at."""

    connections: int
    heard: bool = True
    ready: bool = True
    silent_ticks: int = 0


def test_the_fewest_connections_come_first() -> None:
    many, few, some = Worker(30), Worker(1), Worker(20)
    assert by_room([many, few, some]) == [few, some, many]


def test_who_may_hang_or_cannot_begin_turns_comes_last() -> None:
    busy, loading = Worker(500), Worker(0, ready=False)
    silent, absent = Worker(0, silent_ticks=SILENT_TICKS + 1), Worker(0, heard=False)
    assert by_room([silent, absent, loading, busy]) == [busy, loading, silent]
    assert by_room([absent]) == []
