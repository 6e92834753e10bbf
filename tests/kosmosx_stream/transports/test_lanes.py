"""Lanes under random arrivals and ends."""

from collections import defaultdict, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.transports.lanes import Lanes

NAMES = st.sampled_from([None, "a", "b", "c", "d", "e"])


def lanes(
    *, named: int = 32, in_flight: int = 16, waiting: int = 16, waiting_bytes: int = 1000
) -> Lanes[str]:
    return Lanes(
        max_named=named,
        max_in_flight=in_flight,
        max_waiting=waiting,
        max_waiting_bytes=waiting_bytes,
    )


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=60), st.integers(1, 4))
def test_fifo_within_a_lane_and_no_more_than_allowed_at_a_time(
    steps: list[tuple[str | None, bool]], in_flight: int
) -> None:
    """Each step enters a lane or, if it can, ends the work of one; at last everything ends."""
    subject: Lanes[tuple[str | None, int]] = Lanes(
        max_named=5, max_in_flight=in_flight, max_waiting=100, max_waiting_bytes=1000
    )
    entered: dict[str | None, list[int]] = defaultdict(list)
    begun: dict[str | None, list[int]] = defaultdict(list)
    running: dict[str | None, int] = {}
    arrivals = 0

    def begin(ready: list[tuple[str | None, int]]) -> None:
        for lane, number in ready:
            assert lane not in running
            running[lane] = number
            begun[lane].append(number)
        assert len(running) <= in_flight

    for lane, ends in steps:
        if ends and lane in running:
            del running[lane]
            begin(subject.leave(lane))
        else:
            arrivals += 1
            entered[lane].append(arrivals)
            begin(subject.enter(lane, (lane, arrivals), 1))
        waits = any(
            name not in running and len(begun[name]) < len(numbers)
            for name, numbers in entered.items()
        )
        assert not waits or len(running) == in_flight
    while running:
        lane, _ = running.popitem()
        begin(subject.leave(lane))
    assert begun == entered


def test_who_came_first_starts_first() -> None:
    subject = lanes(in_flight=1)
    assert subject.enter("a", "1", 0) == ["1"]
    order = deque(["2", "3", "4"])
    for lane, work in (("c", "2"), ("b", "3"), (None, "4")):
        assert subject.enter(lane, work, 0) == []
    for lane in ("a", "c", "b"):
        assert subject.leave(lane) == [order.popleft()]


def refused(subject: Lanes[str], lane: str | None, size: int = 0) -> ApiError:
    with pytest.raises(ApiError) as refusal:
        subject.enter(lane, "refused", size)
    return refusal.value


def test_names_are_limited_for_the_life_of_a_connection() -> None:
    subject = lanes(named=2)
    for lane in ("a", "b", None):
        assert subject.enter(lane, "work", 0)
        subject.leave(lane)
    error = refused(subject, "c")
    assert (error.status, error.code, error.param, error.type) == (
        400, "websocket_stream_limit_reached", "stream_id", "invalid_request_error",
    )  # fmt: skip
    assert "(2)" in error.message
    assert subject.enter("a", "work", 0)


def test_a_queue_is_bounded_in_number_and_bytes() -> None:
    subject = lanes(waiting=2, waiting_bytes=10)
    assert subject.enter("a", "runs", 10**9)
    subject.enter("a", "waits", 1)
    subject.enter("a", "waits", 1)
    error = refused(subject, "a")
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert "2 requests" in error.message
    subject.enter("b", "runs", 10**9)
    subject.enter("b", "waits", 8)
    assert "10 bytes" in refused(subject, "b", 1).message
    assert subject.leave("a") == ["waits"]
    subject.enter("b", "waits", 1)
