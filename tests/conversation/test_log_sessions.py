"""Every event log knows which responses are under way in a session, and can let no more begin."""

import pytest

from conversation.ports import Barred, EventLog, Lease, Reservation
from tests.conversation.leases import LAPSED_S, TTL_S


async def begun(log: EventLog, response_id: str, session_id: str = "sess_1") -> Lease:
    lease = await log.acquire(response_id, TTL_S, session_id=session_id)
    assert lease is not None
    return lease


async def test_what_has_begun_is_in_its_session_until_released(log: EventLog) -> None:
    first, second = await begun(log, "resp_1"), await begun(log, "resp_2")
    await begun(log, "resp_3", "sess_2")
    assert set(await log.live_in("sess_1")) == {"resp_1", "resp_2"}
    await log.release(second, session_id="sess_1")
    await log.release(second, session_id="sess_1")
    assert await log.live_in("sess_1") == ["resp_1"]
    taken = await log.seize("resp_1", TTL_S)
    assert taken is not None
    await log.release(first, session_id="sess_1")  # It is not the owner any more.
    assert await log.live_in("sess_1") == ["resp_1"]
    await log.release(taken)  # Whoever does not know the session can release it, too.
    assert await log.live_in("sess_1") == []
    assert await log.live_in("sess_3") == []


async def test_nothing_begins_in_a_barred_session(log: EventLog) -> None:
    await begun(log, "resp_1")
    assert await log.live_in("sess_1", bar_s=TTL_S) == ["resp_1"]
    with pytest.raises(Barred):
        await log.acquire("resp_2", TTL_S, session_id="sess_1")
    reserved = await log.reserve(
        Reservation(name="name", fingerprint="x"), "resp_3", ttl_s=TTL_S, kept_s=TTL_S
    )
    assert isinstance(reserved, Lease)
    with pytest.raises(Barred):
        await log.acquire("resp_3", TTL_S, None, reserved, "sess_1")
    await begun(log, "resp_4", "sess_2")
    assert await log.live_in("sess_1") == ["resp_1"]


async def test_what_was_lost_in_a_barred_session_is_taken_over(log: EventLog) -> None:
    assert await log.acquire("resp_1", LAPSED_S, session_id="sess_1")
    await log.live_in("sess_1", bar_s=TTL_S)
    assert await log.acquire("resp_1", TTL_S) is not None


async def test_a_session_is_barred_for_a_while(log: EventLog) -> None:
    await log.live_in("sess_1", bar_s=LAPSED_S)
    while True:
        try:
            await begun(log, "resp_1")
        except Barred:
            continue
        return
