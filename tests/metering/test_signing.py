"""A receipt can be checked by anybody with the public key, and by nobody without it."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given

from metering.ledger import SessionRecord
from metering.prices import PriceBook
from metering.receipt import receipt
from metering.signing import ReceiptForged, ReceiptSigner, verify
from metering.usage import TurnUsage, ledger_rows
from tests.metering.samples import BOOK, turn
from tests.metering.strategies import books, several_turns

SIGNER = ReceiptSigner(b"a secret of the server's")


def closed(turns: list[TurnUsage], book: PriceBook = BOOK) -> SessionRecord:
    return SessionRecord(
        id="sess_1",
        account_id="acct_1",
        key_id=None,
        state="closed",
        segment=1,
        opened_at=1.0,
        last_seen_at=2.0,
        closed_at=1_800_000_000.75,
        close_reason="client",
        receipt=receipt(row for usage in turns for row in ledger_rows(usage, book)),
    )


def on_the_wire(session: SessionRecord, signer: ReceiptSigner = SIGNER) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(signer.sign(session)))
    return decoded


@given(several_turns(), books)
def test_a_receipt_is_checked_as_it_came_over_the_wire(
    turns: list[TurnUsage], book: PriceBook
) -> None:
    session = closed(turns, book)
    assert verify(on_the_wire(session), SIGNER.public_key) == SIGNER.sign(session)


def test_the_order_of_fields_does_not_matter() -> None:
    backwards = dict(reversed(on_the_wire(closed([turn(images=1)])).items()))
    assert verify(backwards, SIGNER.public_key).closed_at == 1_800_000_000


def test_servers_with_the_same_secret_sign_alike() -> None:
    again = ReceiptSigner(b"a secret of the server's")
    assert on_the_wire(closed([turn()]), again) == on_the_wire(closed([turn()]))


def test_an_open_session_has_nothing_to_sign() -> None:
    session = msgspec.structs.replace(closed([]), state="open", closed_at=None, receipt=None)
    assert SIGNER.sign(session) is None


def cheaper(given: dict[str, Any]) -> None:
    given["lines"][0]["amount_usd"] = "0.01"


def anothers(given: dict[str, Any]) -> None:
    given["account_id"] = "acct_2"


def longer(given: dict[str, Any]) -> None:
    given["paid"] = True


def resigned(given: dict[str, Any]) -> None:
    given["signature"]["value"] = b64encode(bytes(64)).decode()


@pytest.mark.parametrize("change", [cheaper, anothers, longer, resigned])
def test_whatever_is_changed_shows(change: Callable[[dict[str, Any]], None]) -> None:
    given = on_the_wire(closed([turn()]))
    change(given)
    with pytest.raises(ReceiptForged, match="changed after it was signed"):
        verify(given, SIGNER.public_key)


def test_anothers_signature_is_told_from_ours() -> None:
    other = ReceiptSigner(b"another secret")
    given = on_the_wire(closed([turn()]), other)
    with pytest.raises(ReceiptForged, match="signed with another key"):
        verify(given, SIGNER.public_key)
    given["signature"]["public_key"] = SIGNER.public_key
    with pytest.raises(ReceiptForged, match="changed after it was signed"):
        verify(given, SIGNER.public_key)


@pytest.mark.parametrize("public_key", ["", "AAAA", "not base64!"])
def test_what_is_no_key_is_refused(public_key: str) -> None:
    with pytest.raises(ReceiptForged, match="no signed receipt"):
        verify(on_the_wire(closed([])), public_key)


@pytest.mark.parametrize("field", ["signature", "lines", "session_id", "total_usd"])
def test_what_is_missing_is_named(field: str) -> None:
    given = on_the_wire(closed([turn()]))
    del given[field]
    with pytest.raises(ReceiptForged, match=field):
        verify(given, SIGNER.public_key)
