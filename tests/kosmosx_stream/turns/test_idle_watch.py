"""Sessions are closed as idle only after nobody touched them for a while, by a steady clock."""

import msgspec

from kosmosx_stream.turns.idle_watch import IdleWatch
from metering.ledger import SessionRecord

RECORD = SessionRecord(
    id="sess_1",
    account_id="acct_1",
    key_id=None,
    state="open",
    segment=0,
    opened_at=0,
    last_seen_at=10.0,
)


def touched(at: float) -> SessionRecord:
    return msgspec.structs.replace(RECORD, last_seen_at=at)


def test_a_session_is_watched_before_it_is_called_untouched() -> None:
    watch = IdleWatch(watch_s=5)
    assert watch.untouched([RECORD], now=100) == []
    assert watch.untouched([RECORD], now=104.9) == []
    assert watch.untouched([RECORD], now=105) == [RECORD]


def test_a_touch_begins_the_watch_anew() -> None:
    watch = IdleWatch(watch_s=5)
    watch.untouched([RECORD], now=100)
    assert watch.untouched([touched(20.0)], now=105) == []
    assert watch.untouched([touched(20.0)], now=110) == [touched(20.0)]


def test_what_did_not_look_idle_meanwhile_is_watched_anew() -> None:
    watch = IdleWatch(watch_s=5)
    watch.untouched([RECORD], now=100)
    watch.untouched([], now=101)  # The clock had jumped, and is right again.
    assert watch.untouched([RECORD], now=105) == []
