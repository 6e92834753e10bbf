"""Rows of the outbox to send."""

import msgspec

from metering.outbox import OutboxRow
from tests.stripe_standin.account import NOW

ROW = OutboxRow(
    id="kx:sess_1:0:tokens",
    account_id="acct_1",
    customer_id="cus_7",
    session_id="sess_1",
    segment=0,
    meter="tokens",
    units=132,
    cost_micro_usd=26_400,
    timestamp=int(NOW) - 10,
)


def row(row_id: str = ROW.id, **changes: object) -> OutboxRow:
    return msgspec.structs.replace(ROW, id=row_id, **changes)
