"""What every store must do with accounts."""

import asyncio

import pytest
from msgspec.structs import replace

from metering.accounts import Account, Login
from metering.errors import EmailTaken, NotFound
from metering.ledger import Recorded
from metering.store import Store
from tests.metering.samples import turn
from tests.metering.stores import key, record

ADA = Account(id="acct_3", name="Ada", created_at=1.5, email="ada@example.com")


async def test_an_account_is_kept(store: Store) -> None:
    assert await store.accounts.account("acct_1") == Account(
        id="acct_1", name="Acct_1", created_at=1.0
    )
    with pytest.raises(NotFound):
        await store.accounts.account("acct_3")


async def test_an_account_is_put_on_another_plan(store: Store) -> None:
    changed = await store.accounts.set_plan("acct_1", "basic")
    assert changed.plan == (await store.accounts.account("acct_1")).plan == "basic"
    assert (await store.accounts.account("acct_2")).plan == "dedicated"
    with pytest.raises(NotFound):
        await store.accounts.set_plan("acct_3", "basic")


async def test_an_account_is_created_once(store: Store) -> None:
    again = Account(id="acct_1", name="Other", created_at=9.0)
    assert (
        await store.accounts.create_account(again)
        == await store.accounts.account("acct_1")
        != again
    )


async def test_an_email_signs_in_to_one_account(store: Store) -> None:
    assert await store.accounts.find_login("ada@example.com") is None
    assert await store.accounts.create_account(ADA, "a hash") == ADA
    assert await store.accounts.create_account(ADA, "another") == ADA
    assert await store.accounts.account("acct_3") == ADA
    found = await store.accounts.find_login("ada@example.com")
    assert found == Login(account_id="acct_3", password_hash="a hash")
    assert "a hash" not in repr(found)
    with pytest.raises(EmailTaken):
        await store.accounts.create_account(replace(ADA, id="acct_4"), "another")
    with pytest.raises(NotFound):
        await store.accounts.account("acct_4")


async def test_ten_registrations_of_an_email_at_once_make_one_account(store: Store) -> None:
    made = await asyncio.gather(
        *(
            store.accounts.create_account(replace(ADA, id=f"acct_{3 + n}"), f"hash {n}")
            for n in range(10)
        ),
        return_exceptions=True,
    )
    (winner,) = [each for each in made if isinstance(each, Account)]
    assert sum(isinstance(each, EmailTaken) for each in made) == 9
    assert (await store.accounts.find_login("ada@example.com")).account_id == winner.id


async def test_a_password_is_replaced(store: Store) -> None:
    await store.accounts.create_account(ADA, "a hash")
    await store.accounts.set_password("acct_3", "another")
    assert (await store.accounts.find_login("ada@example.com")).password_hash == "another"
    for nobody in ("acct_1", "acct_9"):
        with pytest.raises(NotFound):
            await store.accounts.set_password(nobody, "another")


async def test_accounts_are_listed_oldest_first_in_pages(store: Store) -> None:
    await store.accounts.create_account(ADA)

    async def page(after: str | None = None) -> list[str]:
        return [each.id for each in await store.accounts.list_accounts(limit=2, after=after)]

    assert await page() == ["acct_1", "acct_2"]
    assert await page("acct_2") == ["acct_3"]
    await store.accounts.delete_account("acct_2", 9.0)
    assert await page() == ["acct_1", "acct_3"]
    assert await page("acct_2") == ["acct_3"]
    with pytest.raises(NotFound):
        await page("acct_9")


async def test_a_deleted_account_is_nobody_s_and_keeps_its_books(store: Store) -> None:
    await store.accounts.create_account(ADA, "a hash")
    await store.accounts.create_key(key("key_3", "acct_3"))
    await store.ledger.open_session("sess_3", "acct_3", "key_3", 10.0, metadata={"who": "Ada"})
    await record(store, turn("resp_1", account_id="acct_3", session_id="sess_3"))
    before = await store.ledger.rows("acct_3", "sess_3")

    deleted = await store.accounts.delete_account("acct_3", 20.0)

    assert deleted == Account(id="acct_3", name="", created_at=1.5, deleted_at=20.0)
    assert await store.accounts.delete_account("acct_3", 30.0) == deleted
    assert await store.accounts.account("acct_3") == deleted
    assert await store.accounts.find_login("ada@example.com") is None
    (left,) = await store.accounts.list_keys("acct_3")
    assert (left.label, left.revoked_at) == ("", 20.0)
    assert await store.ledger.rows("acct_3", "sess_3") == before
    session = await store.ledger.session("acct_3", "sess_3")
    assert (session.state, session.metadata) == ("open", {})
    again = await store.accounts.create_account(replace(ADA, id="acct_4"), "a hash")
    assert again.email == ADA.email


async def test_what_is_live_in_a_deleted_account_is_still_billed(store: Store) -> None:
    await store.accounts.delete_account("acct_1", 20.0)
    assert await record(store, turn()) is Recorded.NEW
    closed = await store.ledger.close_session("acct_1", "sess_1", 30.0, "client")
    assert closed.receipt is not None
    assert closed.receipt.total_usd == "0.0264"


async def test_nothing_new_begins_in_a_deleted_account(store: Store) -> None:
    await store.accounts.delete_account("acct_1", 20.0)
    for attempt in (
        store.accounts.create_key(key("key_9", "acct_1")),
        store.ledger.open_session("sess_9", "acct_1", None, 30.0),
        store.accounts.set_password("acct_1", "a hash"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await store.accounts.account("acct_2")).deleted_at is None
    assert (await store.accounts.find_key("key_2")).revoked_at is None
    with pytest.raises(NotFound):
        await store.accounts.delete_account("acct_9", 20.0)


async def test_deleted_accounts_are_found_until_they_are_erased(store: Store) -> None:
    await store.accounts.delete_account("acct_2", 20.0)
    await store.accounts.delete_account("acct_1", 21.0)

    async def unerased(before: float, limit: int = 100) -> list[str]:
        return [each.id for each in await store.accounts.unerased_accounts(before, limit)]

    assert await unerased(20.0) == []
    assert await unerased(21.0) == ["acct_2"]
    assert await unerased(99.0) == ["acct_2", "acct_1"]
    assert await unerased(99.0, 1) == ["acct_2"]
    await store.accounts.mark_erased("acct_2", 30.0)
    await store.accounts.mark_erased("acct_2", 31.0)
    assert await unerased(99.0) == ["acct_1"]
    await store.accounts.create_account(ADA)
    for nobody in ("acct_3", "acct_9"):
        with pytest.raises(NotFound):
            await store.accounts.mark_erased(nobody, 30.0)
