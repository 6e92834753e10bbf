"""What every way of signing in must do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import argon2
import httpx
import pytest

from metering.accounts import Account
from metering.errors import EmailTaken, NotFound, StoreUnavailable
from metering.identities import MAX_WAITING, Identities, LocalIdentities, TooBusy, WrongPassword
from metering.passwords import WeakPassword
from metering.store import Store
from metering.supabase.identities import SupabaseIdentities
from tests.metering.stores import in_files, in_project
from tests.supabase.project import SupabaseProject

GOOD, OTHER, EMAIL = "violet ostrich tango", "another good ostrich", "ada@example.com"


@pytest.fixture(params=["local", "supabase"])
def project(request: pytest.FixtureRequest) -> SupabaseProject | None:
    """Where people sign in; None is here."""
    if request.param == "local":
        return None
    supabase: SupabaseProject = request.getfixturevalue("supabase")
    return supabase


@pytest.fixture
async def store(project: SupabaseProject | None, tmp_path: Path) -> AsyncIterator[Store]:
    open_store = in_files(tmp_path) if project is None else in_project(project)
    store = await open_store()
    yield store
    await store.close()


@pytest.fixture
async def identities(project: SupabaseProject | None, store: Store) -> AsyncIterator[Identities]:
    made: Identities
    if project is None:
        made = LocalIdentities(store.accounts)
    else:
        made = await SupabaseIdentities.open(project.url, project.service_key)
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
        await identities.register(account("acct_2"), OTHER)
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


async def test_a_password_is_changed_by_who_knows_it(identities: Identities) -> None:
    made = await identities.register(account(), GOOD)
    await identities.register(account("acct_2", "bob@example.com"), OTHER)
    for password, new in ((OTHER, GOOD), (GOOD + "s", OTHER)):
        with pytest.raises(WrongPassword):
            await identities.change_password(made, password, new)
    with pytest.raises(WeakPassword):
        await identities.change_password(made, GOOD, "password123")
    for _ in range(2):  # A lost reply is asked for again, and what changes nothing is no error.
        await identities.change_password(made, GOOD, GOOD)
    await identities.change_password(made, GOOD, OTHER)
    assert await identities.sign_in(EMAIL, OTHER) == made
    with pytest.raises(WrongPassword):
        await identities.sign_in(EMAIL, GOOD)


@pytest.mark.parametrize("project", [None])
async def test_an_operator_sets_a_forgotten_password(store: Store) -> None:
    identities = LocalIdentities(store.accounts)
    made = await identities.register(account(), GOOD)
    with pytest.raises(WeakPassword):
        await identities.set_password(made, "ada@example.com")
    await identities.set_password(made, OTHER)
    assert await identities.sign_in(EMAIL, OTHER) == made
    nobody = await store.accounts.create_account(Account(id="acct_2", name="", created_at=1.0))
    with pytest.raises(NotFound):
        await identities.set_password(nobody, OTHER)
    await identities.close()


@pytest.mark.parametrize("project", ["supabase"], indirect=True)
async def test_with_the_account_the_person_goes_out_of_supabase_auth(
    identities: SupabaseIdentities, store: Store
) -> None:
    """In one transaction: there is nothing to be made up for later."""
    await identities.register(account(), GOOD)
    assert await identities._person(EMAIL, GOOD) is not None
    await store.accounts.delete_account("acct_1", 2.0)
    assert await identities._person(EMAIL, GOOD) is None
    another = await identities._new_person(EMAIL, OTHER)
    assert another is not None


@pytest.mark.parametrize("project", [None])
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


@pytest.mark.parametrize("project", [None])
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


@pytest.mark.parametrize("project", ["supabase"], indirect=True)
async def test_who_was_registered_by_half_registers_again(
    project: SupabaseProject, identities: SupabaseIdentities
) -> None:
    """The server died between Supabase Auth and the books."""
    person = await identities._new_person(EMAIL, GOOD)
    assert person is not None
    with pytest.raises(WrongPassword):
        await identities.sign_in(EMAIL, GOOD)
    with pytest.raises(EmailTaken):
        await identities.register(account(), OTHER)
    for _ in range(2):
        assert await identities.register(account(), GOOD) == account()
    (kept,) = project.rows("accounts")
    assert (kept["user_id"], kept["password_hash"]) == (person, None)
    assert await identities.sign_in(EMAIL, GOOD) == account()


@pytest.mark.parametrize("project", ["supabase"], indirect=True)
async def test_without_supabase_auth_nothing_can_be_told(
    project: SupabaseProject, identities: SupabaseIdentities
) -> None:
    identities._http.base_url = httpx.URL("http://127.0.0.1:9")
    for attempt in (identities.sign_in(EMAIL, GOOD), identities.register(account(), GOOD)):
        with pytest.raises(StoreUnavailable):
            await attempt
    assert project.rows("accounts") == []
