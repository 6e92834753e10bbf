import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from metering import keys
from metering.access_tokens import AccessTokens
from metering.accounts import ALL_SCOPES, Account, KeyRecord
from metering.authenticator import Authenticator, Principal
from metering.errors import NotFound, StoreUnavailable
from metering.issuing import Issuer, NewKey
from metering.keys import ExpiredKey, InvalidKey
from metering.sqlite.accounts import SqliteAccounts
from metering.sqlite.database import Database
from metering.sqlite.store import open_sqlite

PEPPER = b"p" * 32
TOKENS = AccessTokens(PEPPER, life_s=60)


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

    async def note_used(self, used: Mapping[str, float]) -> None:
        if self.down:
            raise StoreUnavailable("down")
        await super().note_used(used)


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[CountingAccounts]:
    database = await Database.open(tmp_path / "metering.db")
    made = CountingAccounts(database)
    await made.create_account(Account(id="acct_1", name="Test", created_at=1.0))
    yield made
    await database.close()


@pytest.fixture
async def issued(accounts: CountingAccounts) -> NewKey:
    return await Issuer(accounts, PEPPER).issue("acct_1", at=2.0, label="laptop")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(accounts: CountingAccounts, clock: Clock) -> Authenticator:
    return Authenticator(accounts, PEPPER, TOKENS, clock, clock)


async def test_an_issued_key_is_kept_without_its_secret(
    accounts: CountingAccounts, issued: NewKey
) -> None:
    (record,) = await accounts.list_keys("acct_1")
    assert record == KeyRecord(
        id=issued.record.id,
        account_id="acct_1",
        hash=issued.record.hash,
        label="laptop",
        created_at=2.0,
    )
    assert issued.token not in repr(record)


async def test_a_key_is_issued_to_an_account_only(accounts: CountingAccounts) -> None:
    with pytest.raises(NotFound):
        await Issuer(accounts, PEPPER).issue("acct_9", at=2.0)


async def test_a_token_names_its_account(authenticator: Authenticator, issued: NewKey) -> None:
    assert await authenticator.authenticate(issued.token) == Principal(
        "acct_1", issued.record.id, ALL_SCOPES
    )


async def test_a_wrong_secret_an_unknown_id_and_a_revoked_key_look_alike(
    accounts: CountingAccounts, authenticator: Authenticator, issued: NewKey
) -> None:
    revoked = await Issuer(accounts, PEPPER).issue("acct_1", at=2.0)
    await accounts.revoke_key("acct_1", revoked.record.id, 3.0)
    unknown = keys.issue(PEPPER).token
    wrong = issued.token[:-43] + unknown[-43:]
    seen = set()
    for token in (wrong, unknown, revoked.token, "nonsense", ""):
        with pytest.raises(InvalidKey) as refusal:
            await authenticator.authenticate(token)
        seen.add(str(refusal.value))
    assert seen == {""}


async def test_another_pepper_makes_all_keys_invalid(
    accounts: CountingAccounts, clock: Clock, issued: NewKey
) -> None:
    with pytest.raises(InvalidKey):
        await Authenticator(accounts, b"q" * 32, TOKENS, clock, clock).authenticate(issued.token)


async def test_a_hash_moved_to_another_key_opens_nothing(
    accounts: CountingAccounts, authenticator: Authenticator, issued: NewKey
) -> None:
    other = "f" * 16
    await accounts.create_key(
        KeyRecord(id=other, account_id="acct_1", hash=issued.record.hash, label="", created_at=2.0)
    )
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(issued.token.replace(issued.record.id, other))


async def test_verdicts_are_remembered_for_a_moment(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock, issued: NewKey
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
    tmp_path: Path, authenticator: Authenticator, clock: Clock, issued: NewKey
) -> None:
    await authenticator.authenticate(issued.token)
    elsewhere = await open_sqlite(tmp_path / "metering.db")
    await elsewhere.accounts.revoke_key("acct_1", issued.record.id, 3.0)
    await elsewhere.close()
    clock.now += 1.0
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(issued.token)


async def test_nobody_is_let_in_on_an_old_verdict(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock, issued: NewKey
) -> None:
    await authenticator.authenticate(issued.token)
    accounts.down = True
    await authenticator.authenticate(issued.token)
    clock.now += 1.0
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(issued.token)


async def test_memory_is_bounded_and_keeps_what_was_asked_for_last(
    accounts: CountingAccounts, clock: Clock, issued: NewKey
) -> None:
    authenticator = Authenticator(accounts, PEPPER, TOKENS, clock, clock, capacity=2)
    await authenticator.authenticate(issued.token)
    for _ in range(5):
        with pytest.raises(InvalidKey):
            await authenticator.authenticate(keys.issue(PEPPER).token)
        await authenticator.authenticate(issued.token)
    assert accounts.reads == 6
    assert len(authenticator._verdicts) == 2


def test_a_short_pepper_is_refused_at_once(clock: Clock, accounts: CountingAccounts) -> None:
    with pytest.raises(ValueError, match="pepper"):
        Authenticator(accounts, b"short", TOKENS, clock, clock)


async def test_a_key_expires_though_its_verdict_is_remembered(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock
) -> None:
    short = await Issuer(accounts, PEPPER).issue("acct_1", at=2.0, expires_at=100.5)
    principal = await authenticator.authenticate(short.token)
    assert principal.expires_at == 100.5
    clock.now = 100.5
    with pytest.raises(ExpiredKey):
        await authenticator.authenticate(short.token)
    with pytest.raises(ExpiredKey):
        await authenticator.confirm(principal)
    assert accounts.reads == 2
    wrong = short.token[:-43] + "x" * 43
    with pytest.raises(InvalidKey) as refusal:
        await authenticator.authenticate(wrong)
    assert type(refusal.value) is InvalidKey


async def test_who_was_let_in_is_told_what_has_changed_since(
    accounts: CountingAccounts, authenticator: Authenticator, issued: NewKey
) -> None:
    principal = await authenticator.authenticate(issued.token)
    assert await authenticator.confirm(principal) == principal
    made = await Issuer(accounts, PEPPER).rotate(
        "acct_1", issued.record.id, at=100.0, overlap_s=50.0
    )
    assert (await authenticator.confirm(principal)).expires_at == 150.0
    assert (await authenticator.authenticate(made.token)).expires_at is None
    await accounts.revoke_key("acct_1", issued.record.id, 120.0)
    with pytest.raises(InvalidKey):
        await authenticator.confirm(principal)


async def test_what_is_forgotten_is_asked_for_at_once(
    accounts: CountingAccounts, authenticator: Authenticator, issued: NewKey
) -> None:
    await authenticator.authenticate(issued.token)
    await accounts.revoke_key("acct_1", issued.record.id, 3.0)
    authenticator.forget("acct_1", issued.record.id)
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(issued.token)


async def test_uses_are_told_together_and_never_lost(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock, issued: NewKey
) -> None:
    for at in (100.0, 100.3, 100.7):
        clock.now = at
        await authenticator.authenticate(issued.token)
    assert (await accounts.list_keys("acct_1"))[0].last_used_at is None
    accounts.down = True
    with pytest.raises(StoreUnavailable):
        await authenticator.flush_used()
    accounts.down = False
    await authenticator.flush_used()
    assert (await accounts.list_keys("acct_1"))[0].last_used_at == 100.7
    await accounts.note_used({issued.record.id: 200.0})
    await authenticator.flush_used()
    assert (await accounts.list_keys("acct_1"))[0].last_used_at == 200.0


async def test_who_signed_in_may_do_all_until_the_account_is_deleted(
    accounts: CountingAccounts, authenticator: Authenticator, clock: Clock
) -> None:
    clock.now = time.time()
    token, made = TOKENS.sign("acct_1", clock.now)
    principal = await authenticator.authenticate(token)
    assert principal == Principal("acct_1", None, ALL_SCOPES, made.expires_at)
    assert await authenticator.confirm(principal) == principal
    await accounts.delete_account("acct_1", 5.0)
    assert await authenticator.authenticate(token) == principal  # For a moment.
    with pytest.raises(InvalidKey):
        await authenticator.confirm(principal)
    clock.now += 1.0
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(token)
    await authenticator.flush_used()


async def test_a_token_expires_though_its_verdict_is_remembered(
    authenticator: Authenticator, clock: Clock
) -> None:
    clock.now = time.time()
    token, made = TOKENS.sign("acct_1", clock.now)
    await authenticator.authenticate(token)
    clock.now = made.expires_at
    with pytest.raises(ExpiredKey):
        await authenticator.authenticate(token)


async def test_a_token_of_no_account_opens_nothing(authenticator: Authenticator) -> None:
    for token in (TOKENS.sign("acct_9", time.time())[0], "eyJ.eyJ.x"):
        with pytest.raises(InvalidKey):
            await authenticator.authenticate(token)
