"""Many calls, few trips."""

import asyncio
from collections.abc import Sequence

import pytest

from conversation.gathering import MOST_AT_ONCE, Gathering
from conversation.ports import LogUnavailable


class Trips:
    """Answers calls with their squares, when told to; notes which went together."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.under_way = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def make(self, calls: Sequence[int]) -> list[int]:
        self.made.append(list(calls))
        self.under_way.set()
        await self.may_answer.wait()
        if -1 in calls:
            raise LogUnavailable("no reply")
        return [call * call for call in calls]


async def test_calls_of_one_moment_go_together_and_get_their_own_answers() -> None:
    trips = Trips()
    gathering = Gathering(trips.make)
    assert await asyncio.gather(*map(gathering, range(5))) == [0, 1, 4, 9, 16]
    assert await gathering(5) == 25
    assert trips.made == [[0, 1, 2, 3, 4], [5]]


async def test_what_comes_meanwhile_goes_together_next() -> None:
    trips = Trips()
    trips.may_answer.clear()
    gathering = Gathering(trips.make)
    first = asyncio.create_task(gathering(1))
    await trips.under_way.wait()
    rest = [asyncio.create_task(gathering(call)) for call in (2, 3)]
    await asyncio.sleep(0)
    trips.may_answer.set()
    assert await asyncio.gather(first, *rest) == [1, 4, 9]
    assert trips.made == [[1], [2, 3]]


async def test_a_failed_trip_fails_those_who_were_in_it() -> None:
    trips = Trips()
    gathering = Gathering(trips.make)
    lost = await asyncio.gather(gathering(-1), gathering(2), return_exceptions=True)
    assert [type(error) for error in lost] == [LogUnavailable] * 2
    assert await gathering(3) == 9


async def test_who_leaves_takes_nobody_along() -> None:
    trips = Trips()
    trips.may_answer.clear()
    gathering = Gathering(trips.make)
    leaving, staying = (asyncio.create_task(gathering(call)) for call in (1, 2))
    await trips.under_way.wait()
    leaving.cancel()
    trips.may_answer.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert trips.made == [[1, 2]]


async def test_a_trip_carries_only_so_many() -> None:
    trips = Trips()
    gathering = Gathering(trips.make)
    await asyncio.gather(*map(gathering, range(MOST_AT_ONCE + 1)))
    assert [len(calls) for calls in trips.made] == [MOST_AT_ONCE, 1]
