"""What the operator is told of what clients are not."""

from types import SimpleNamespace

import pytest

from conversation.ports import LogUnavailable
from kosmosx_stream.transports import failures
from kosmosx_stream.transports.failures import to_api_error
from metering.errors import StoreUnavailable

FULL = "requests are refused: StoreUnavailable: database or disk is full"
AWAY = "requests are refused: LogUnavailable: connection refused"


def test_the_reason_of_a_store_that_is_away_is_logged_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 1.0, 2.0, 9.0, 11.0, 11.5))
    monkeypatch.setattr(failures, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(failures, "_complained_at", {})
    for _ in range(3):
        for error in (
            StoreUnavailable("database or disk is full"),
            LogUnavailable("connection refused"),
        ):
            refusal = to_api_error(error)
            assert (refusal.status, refusal.code) == (503, "store_unavailable")
            assert str(error) not in refusal.message
    assert [record.getMessage() for record in caplog.records] == [FULL, AWAY, FULL, AWAY]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
