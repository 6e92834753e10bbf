"""What every way of signing in must do. A further adapter adds its factory to `FACTORIES`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import argon2
import pytest

from metering.accounts import Account
from metering.errors import EmailTaken
from metering.identities import MAX_WAITING, Identities, LocalIdentities, TooBusy, WrongPassword
from metering.passwords import WeakPassword
from metering.sqlite.store import open_sqlite
from metering.store import Store

GOOD, EMAIL = "violet ostrich tango", "ada@example.com"
FACTORIES = [pytest.param(lambda store: LocalIdentities(store.accounts), id="local")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_sqlite(tmp_path / "metering.db")
    yield store
    await store.close()


@pytest.fixture(params=FACTORIES)
async def identities(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[Identities]:
    make: Callable[[Store], Identities] = request.param
    made = make(store)
    yield made
    await made.close()


def account(account_id: str = "acct_1", email: str = EMAIL) -> Account:
    return Account(id=account_id, name="Ada", created_at=1.0, email=email)


async def test_who_registered_can_sign_in(identities: Identities, store: Store) -> None:
    made = await identities.register(account(), GOOD)
    assert made == account() == await store.accounts.account("acct_1")
    assert await identities.sign_in(EMAIL, GOOD) == made


@pytest.mark.parametrize(("email", "password"), [(EMAIL, GOOD + "s"), ("bob@example.com", GOOD)])
async def test_a_wrong_password_and_an_unknown_email_look_alike(
    identities: Identities, email: str, password: str
) -> None:
    await identities.register(account(), GOOD)
    with pytest.raises(WrongPassword) as refusal:
        await identities.sign_in(email, password)
    assert refusal.value.args == ()


async def test_an_email_is_registered_once(identities: Identities, store: Store) -> None:
    await identities.register(account(), GOOD)
    with pytest.raises(EmailTaken):
        await identities.register(account("acct_2"), "another good ostrich")
    assert (await identities.sign_in(EMAIL, GOOD)).id == "acct_1"
    assert len(await store.accounts.list_accounts()) == 1


async def test_a_weak_password_makes_no_account(identities: Identities, store: Store) -> None:
    with pytest.raises(WeakPassword):
        await identities.register(account(), "password123")
    assert await store.accounts.list_accounts() == []


async def test_nobody_signs_in_to_a_deleted_account(identities: Identities, store: Store) -> None:
    await identities.register(account(), GOOD)
    await store.accounts.delete_account("acct_1", 2.0)
    with pytest.raises(WrongPassword):
        await identities.sign_in(EMAIL, GOOD)
    assert (await identities.register(account("acct_2"), GOOD)).id == "acct_2"


async def test_an_old_hash_is_renewed_when_its_password_is_shown(store: Store) -> None:
    old = argon2.PasswordHasher(time_cost=1).hash(GOOD)
    await store.accounts.create_account(account(), old)
    identities = LocalIdentities(store.accounts)
    await identities.sign_in(EMAIL, GOOD)
    renewed = await store.accounts.find_login(EMAIL)
    assert renewed is not None
    assert renewed.password_hash != old
    assert (await identities.sign_in(EMAIL, GOOD)).id == "acct_1"
    assert await store.accounts.find_login(EMAIL) == renewed
    await identities.close()


async def test_a_crowd_is_turned_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = LocalIdentities(store.accounts)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def held(*_: object) -> bool:
        await release.wait()
        return False

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_in_executor", held, raising=False)
        running = [asyncio.create_task(identities._run(lambda: None)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            await identities._run(lambda: None)
        release.set()
        await asyncio.gather(*running)
    assert await identities._run(lambda: 1) == 1
    await identities.close()
