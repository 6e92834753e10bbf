"""What every store must do with accounts and keys."""

import pytest

from metering.accounts import Account
from metering.errors import NotFound
from metering.store import Store
from tests.metering.stores import key


async def test_an_account_is_kept(store: Store) -> None:
    assert await store.accounts.account("acct_1") == Account(
        id="acct_1", name="Acct_1", created_at=1.0
    )
    with pytest.raises(NotFound):
        await store.accounts.account("acct_3")


async def test_an_account_is_created_once(store: Store) -> None:
    again = Account(id="acct_1", name="Other", created_at=9.0)
    assert (
        await store.accounts.create_account(again)
        == await store.accounts.account("acct_1")
        != again
    )


async def test_a_key_is_found_by_its_id(store: Store) -> None:
    assert await store.accounts.find_key("key_1") == key("key_1", "acct_1")
    assert await store.accounts.find_key("key_3") is None


async def test_a_key_is_created_once(store: Store) -> None:
    assert await store.accounts.create_key(key("key_1", "acct_2")) == key("key_1", "acct_1")


async def test_a_key_needs_an_account(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.accounts.create_key(key("key_3", "acct_3"))
    assert await store.accounts.find_key("key_3") is None


async def test_keys_are_listed_oldest_first_with_the_revoked(store: Store) -> None:
    older = await store.accounts.create_key(key("key_0", "acct_1", created_at=1.5))
    revoked = await store.accounts.revoke_key("key_1", 5.0)
    assert await store.accounts.list_keys("acct_1") == [older, revoked]
    assert await store.accounts.list_keys("acct_3") == []


async def test_a_key_is_revoked_once(store: Store) -> None:
    assert (await store.accounts.revoke_key("key_1", 5.0)).revoked_at == 5.0
    assert (await store.accounts.revoke_key("key_1", 6.0)).revoked_at == 5.0
    assert (await store.accounts.find_key("key_2")) == key("key_2", "acct_2")
    with pytest.raises(NotFound):
        await store.accounts.revoke_key("key_3", 5.0)
