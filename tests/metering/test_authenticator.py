from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metering import keys
from metering.accounts import Account, KeyRecord
from metering.authenticator import Authenticator, InvalidKey, IssuedKey, Principal, issue_key
from metering.errors import NotFound, StoreUnavailable
from metering.sqlite.accounts import SqliteAccounts
from metering.sqlite.database import Database
from metering.sqlite.store import open_sqlite

PEPPER = b"p" * 32


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class CountingAccounts(SqliteAccounts):
    """Counts the reads of keys; can be made to fail."""

    reads = 0
    down = False

    async def find_key(self, key_id: str) -> KeyRecord | None:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("down")
        return await super().find_key(key_id)


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[CountingAccounts]:
    database = await Database.open(tmp_path / "metering.db")
    made = CountingAccounts(database)
    await made.create_account(Account(id="acct_1", name="Test", created_at=1.0))
    yield made
    await database.close()


@pytest.fixture
async def issued(accounts: CountingAccounts) -> IssuedKey:
    return await issue_key(accounts, PEPPER, "acct_1", at=2.0, label="laptop")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(accounts: CountingAccounts, clock: Clock) -> Authenticator:
    return Authenticator(accounts, PEPPER, clock)


async def test_an_issued_key_is_kept_without_its_secret(
    accounts: CountingAccounts, issued: IssuedKey
) -> None:
    (record,) = await accounts.list_keys("acct_1")
    assert record == KeyRecord(
        id=issued.id, account_id="acct_1", hash=issued.hash, label="laptop", created_at=2.0
    )
    assert issued.token not in repr(record)


async def test_a_key_is_issued_to_an_account_only(accounts: CountingAccounts) -> None:
    with pytest.raises(NotFound):
        await issue_key(accounts, PEPPER, "acct_9", at=2.0)


async def test_a_token_names_its_account(authenticator: Authenticator, issued: IssuedKey) -> None:
    assert await authenticator.authenticate(issued.token) == Principal("acct_1", issued.id)


async def test_a_wrong_secret_an_unknown_id_and_a_revoked_key_look_alike(
    accounts: CountingAccounts, authenticator: Authenticator, issued: IssuedKey
) -> None:
    revoked = await issue_key(accounts, PEPPER, "acct_1", at=2.0)
    await accounts.revoke_key(revoked.id, 3.0)
    unknown = keys.issue(PEPPER).token
    wrong = issued.token[:-43] + unknown[-43:]
    seen = set()
    for token in (wrong, unknown, revoked.token, "nonsense", ""):
        with pytest.raises(InvalidKey) as refusal:
            await authenticator.authenticate(token)
        seen.add(str(refusal.value))
    assert seen == {""}


async def test_another_pepper_makes_all_keys_invalid(
    accounts: CountingAccounts, clock: Clock, issued: IssuedKey
) -> None:
    with pytest.raises(InvalidKey):
        await Authenticator(accounts, b"q" * 32, clock).authenticate(issued.token)


async def test_a_hash_moved_to_another_key_opens_nothing(
    accounts: CountingAccounts, authenticator: Authenticator, issued: IssuedKey
) -> None:
    other = "f" * 16
    await accounts.create_key(
        KeyRecord(id=other, account_id="acct_1", hash=issued.hash, label="", created_at=2.0)
    )
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(issued.token.replace(issued.id, other))


async def test_verdicts_are_remembered_for_a_moment(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock, issued: IssuedKey
) -> None:
    unknown = keys.issue(PEPPER).token
    for _ in range(3):
        await authenticator.authenticate(issued.token)
        with pytest.raises(InvalidKey):
            await authenticator.authenticate(unknown)
    assert accounts.reads == 2
    clock.now += 1.0
    await authenticator.authenticate(issued.token)
    assert accounts.reads == 3


async def test_a_revocation_elsewhere_is_seen_within_a_second(
    tmp_path: Path, authenticator: Authenticator, clock: Clock, issued: IssuedKey
) -> None:
    await authenticator.authenticate(issued.token)
    elsewhere = await open_sqlite(tmp_path / "metering.db")
    await elsewhere.accounts.revoke_key(issued.id, 3.0)
    await elsewhere.close()
    clock.now += 1.0
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(issued.token)


async def test_nobody_is_let_in_on_an_old_verdict(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock, issued: IssuedKey
) -> None:
    await authenticator.authenticate(issued.token)
    accounts.down = True
    await authenticator.authenticate(issued.token)
    clock.now += 1.0
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(issued.token)


async def test_memory_is_bounded_and_keeps_what_was_asked_for_last(
    accounts: CountingAccounts, clock: Clock, issued: IssuedKey
) -> None:
    authenticator = Authenticator(accounts, PEPPER, clock, capacity=2)
    await authenticator.authenticate(issued.token)
    for _ in range(5):
        with pytest.raises(InvalidKey):
            await authenticator.authenticate(keys.issue(PEPPER).token)
        await authenticator.authenticate(issued.token)
    assert accounts.reads == 6
    assert len(authenticator._verdicts) == 2


def test_a_short_pepper_is_refused_at_once(clock: Clock, accounts: CountingAccounts) -> None:
    with pytest.raises(ValueError, match="pepper"):
        Authenticator(accounts, b"short", clock)
