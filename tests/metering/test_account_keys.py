"""What every store must do with the keys of accounts."""

import asyncio

import pytest
from msgspec.structs import replace

from metering.accounts import KeyRecord
from metering.errors import KeyEnded, NotFound
from metering.store import Store
from tests.metering.stores import key


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
    revoked = await store.accounts.revoke_key("acct_1", "key_1", 5.0)
    assert await store.accounts.list_keys("acct_1") == [older, revoked]
    assert await store.accounts.list_keys("acct_3") == []


async def test_a_key_is_revoked_once(store: Store) -> None:
    assert (await store.accounts.revoke_key("acct_1", "key_1", 5.0)).revoked_at == 5.0
    assert (await store.accounts.revoke_key("acct_1", "key_1", 6.0)).revoked_at == 5.0
    assert (await store.accounts.find_key("key_2")) == key("key_2", "acct_2")
    for account_id, key_id in (("acct_1", "key_3"), ("acct_1", "key_2")):
        with pytest.raises(NotFound):
            await store.accounts.revoke_key(account_id, key_id, 5.0)
    assert (await store.accounts.find_key("key_2")) == key("key_2", "acct_2")


async def test_what_a_key_is_good_for_is_kept(store: Store) -> None:
    made = replace(
        key("key_3", "acct_1"), scopes=frozenset({"read", "usage"}), expires_at=1e9, label="é"
    )
    assert await store.accounts.create_key(made) == made
    assert await store.accounts.find_key("key_3") == made


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "valid"),
    [(None, None, True), (5.1, None, True), (5.0, None, False), (9.0, 4.0, False)],
)
def test_a_key_is_valid_until_it_ends(
    expires_at: float | None, revoked_at: float | None, *, valid: bool
) -> None:
    ended = replace(key("key_1", "acct_1"), expires_at=expires_at, revoked_at=revoked_at)
    assert ended.valid(5.0) is valid


def successor(key_id: str = "key_3", at: float = 5.0) -> KeyRecord:
    return key(key_id, "acct_1", created_at=at)


async def test_a_rotated_key_ends_and_its_successor_goes_on(store: Store) -> None:
    made = await store.accounts.rotate_key("key_1", successor(), 65.0)
    assert made == successor() == await store.accounts.find_key("key_3")
    old = await store.accounts.find_key("key_1")
    assert old == replace(key("key_1", "acct_1"), expires_at=65.0, successor_id="key_3")
    assert await store.accounts.rotate_key("key_1", successor(), 99.0) == made
    assert await store.accounts.find_key("key_1") == old


async def test_a_rotation_never_prolongs_a_key(store: Store) -> None:
    await store.accounts.create_key(replace(key("key_0", "acct_1"), expires_at=60.0))
    await store.accounts.rotate_key("key_0", successor(), 65.0)
    assert (await store.accounts.find_key("key_0")).expires_at == 60.0


async def test_a_key_is_rotated_while_it_is_valid_and_once(store: Store) -> None:
    await store.accounts.create_key(replace(key("expired", "acct_1"), expires_at=5.0))
    await store.accounts.create_key(key("revoked", "acct_1"))
    await store.accounts.revoke_key("acct_1", "revoked", 4.0)
    await store.accounts.rotate_key("key_1", successor("key_4"), 65.0)
    for ended in ("expired", "revoked", "key_1"):
        with pytest.raises(KeyEnded):
            await store.accounts.rotate_key(ended, successor(), 65.0)
    for foreign in ("key_2", "key_9"):
        with pytest.raises(NotFound):
            await store.accounts.rotate_key(foreign, successor(), 65.0)
    assert await store.accounts.find_key("key_3") is None
    assert await store.accounts.find_key("key_2") == key("key_2", "acct_2")


async def test_ten_rotations_at_once_make_one_successor(store: Store) -> None:
    made = await asyncio.gather(
        *(store.accounts.rotate_key("key_1", successor(f"key_{3 + n}"), 65.0) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, KeyEnded) for each in made) == 9
    assert len(await store.accounts.list_keys("acct_1")) == 2


async def test_the_last_use_moves_forward_only(store: Store) -> None:
    async def noted() -> list[float | None]:
        found = [await store.accounts.find_key(name) for name in ("key_1", "key_2")]
        return [each.last_used_at for each in found]

    assert await noted() == [None, None]
    await store.accounts.note_used({"key_1": 10.0, "key_2": 20.0, "key_9": 30.0})
    await store.accounts.note_used({"key_1": 11.0, "key_2": 19.0})
    assert await noted() == [11.0, 20.0]
    await store.accounts.note_used({})
