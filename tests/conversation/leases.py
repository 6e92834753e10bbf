"""Taking leases and writing under them, as the tests of the log do."""

from conversation.ports import (
    EventLog,
    Lease,
    Write,
)

TTL_S = 60.0
LAPSED_S = 0.0  # A lease that has lapsed when it is taken: no test waits for a clock.


async def acquired(log: EventLog, response_id: str = "resp_1", ttl_s: float = TTL_S) -> Lease:
    lease = await log.acquire(response_id, ttl_s)
    assert lease is not None
    return lease


async def verdict(log: EventLog, write: Write) -> Exception | None:
    (outcome,) = await log.append([write], TTL_S)
    return outcome
