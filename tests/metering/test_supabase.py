"""What is Supabase's own: who may read and call what, errors, lost answers, exact numbers."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import pytest
from postgrest import APIError

from metering.budgets import Budget, Standing
from metering.errors import StoreTooNew, StoreUnavailable
from metering.ledger import Recorded
from metering.store import Store
from metering.supabase import database
from metering.supabase.database import Database
from metering.supabase.ledger import SupabaseLedger
from metering.supabase.store import open_supabase
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, micro, turn
from tests.metering.stores import furnish, in_project, record
from tests.server_process import free_port
from tests.supabase.postgres import postgres, program
from tests.supabase.project import HERE, SupabaseProject

TABLES = ("accounts", "sessions", "turns", "usage_records", "budgets", "outbox", "customers")


@pytest.fixture
async def store(supabase: SupabaseProject) -> AsyncIterator[Store]:
    made = await in_project(supabase)()
    await furnish(made)
    yield made
    await made.close()


# Who may read and call what.


def sign_up(project: SupabaseProject) -> tuple[str, str]:
    """A new person of Supabase Auth: the id and the token."""
    answer = httpx.post(
        f"{project.url}/auth/v1/signup",
        headers={"apikey": project.publishable_key},
        json={"email": f"{uuid4()}@example.com", "password": "correct horse battery"},
    )
    session = answer.raise_for_status().json()
    return session["user"]["id"], session["access_token"]


async def test_who_is_signed_in_reads_what_is_theirs(
    store: Store, supabase: SupabaseProject
) -> None:
    await store.outbox.link_customer("acct_1", "cus_1", 1.0)
    await store.outbox.link_customer("acct_2", "cus_2", 1.0)
    await store.ledger.open_session("sess_2", "acct_2", None, 10.0)
    for number in (1, 2):
        await store.budgets.set_budget(
            Budget(account_id=f"acct_{number}", limit_micro_usd=10**9, hard=True)
        )
        owner = {"account_id": f"acct_{number}", "session_id": f"sess_{number}"}
        await record(store, turn(f"resp_{number}", **owner))
        await store.ledger.close_session(*owner.values(), 2_000.0, "client")
    ada, ada_token = sign_up(supabase)
    _, stranger_token = sign_up(supabase)
    supabase.change("accounts", {"user_id": ada}, id="eq.acct_1")
    for table in TABLES:
        owner_column = "id" if table == "accounts" else "account_id"
        mine = supabase.request("GET", table, ada_token, select=owner_column)
        assert [row[owner_column] for row in mine.json()] == ["acct_1"], table
        theirs = supabase.request("GET", table, stranger_token, select=owner_column)
        assert theirs.json() == [], table
        anybodys = supabase.request("GET", table, "", select=owner_column)
        assert anybodys.status_code == 401 or anybodys.json() == [], table


async def test_who_is_signed_in_changes_nothing(store: Store, supabase: SupabaseProject) -> None:
    ada, token = sign_up(supabase)
    supabase.change("accounts", {"user_id": ada}, id="eq.acct_1")
    before = supabase.rows("accounts")
    for attempt in ("PATCH", "DELETE"):
        refused = supabase.request(attempt, "accounts", token, id="eq.acct_1")
        assert refused.status_code in {401, 403} or refused.json() == []
    assert supabase.request("POST", "accounts", token).status_code in {401, 403}
    assert supabase.rows("accounts") == before


async def test_nobody_else_may_call_a_function(supabase: SupabaseProject) -> None:
    """By what PostgreSQL itself says of all that the migrations made."""
    assert supabase.call("functions_open_to_others").raise_for_status().json() == ""


@pytest.mark.slow  # Supabase Lite opens all tables when it starts; so this asks PostgreSQL before.
def test_nobody_else_may_write_a_table_or_read_a_hash(tmp_path: Path) -> None:
    """Though a hosted project gives its roles every right on what is new, as here."""
    with postgres() as url:
        query(url, (HERE / "hosted_roles.sql").read_text())
        project = SupabaseProject(tmp_path, driver="postgres", database=url)
        project.migrate()
        project.close()
        for kind in ("functions", "tables"):
            assert query(url, f"select public.{kind}_open_to_others()") == "", kind


def query(url: str, sql: str) -> str:
    command = [program("psql"), "--tuples-only", "--no-align", "--quiet", url, "--command", sql]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# Errors.


async def test_a_project_without_the_functions_is_told_so(supabase: SupabaseProject) -> None:
    opened = await Database.open(supabase.url, supabase.service_key)
    with pytest.raises(StoreUnavailable, match=r"lacks nothing\(\): apply supabase/migrations"):
        await opened.call("nothing")
    await opened.close()


@pytest.mark.parametrize(
    ("known", "error"), [(-1, StoreTooNew), (1, StoreUnavailable)], ids=["newer", "older"]
)
async def test_a_schema_of_another_version_is_refused(
    supabase: SupabaseProject, monkeypatch: pytest.MonkeyPatch, known: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(database, "SCHEMA_VERSION", database.SCHEMA_VERSION + known)
    with pytest.raises(error, match="schema"):
        await open_supabase(supabase.url, supabase.service_key)


async def test_servers_of_the_version_before_go_on(store: Store, supabase: SupabaseProject) -> None:
    """They know nothing of a cheaper model; the tables are migrated while they run."""
    budget = {"account_id": "acct_1", "limit_micro_usd": 50, "hard": True, "locked": False}
    supabase.call("set_budget", record=json.dumps(budget)).raise_for_status()
    held = supabase.call(
        "hold", account_id="acct_1", response_id="r", least_micro_usd="1", most_micro_usd="9",
        at=1.0, until=2.0,
    ).raise_for_status()  # fmt: skip
    assert json.loads(held.json())["hold"]["granted_micro_usd"] == 9
    assert await store.budgets.standing("acct_1", 1.5) == Standing(
        limit_micro_usd=50, hard=True, locked=False, spent_micro_usd=0, held_micro_usd=9
    )


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    port = free_port()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.read()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", port):
        with pytest.raises(StoreUnavailable, match="ReadTimeout"):
            await open_supabase(f"http://127.0.0.1:{port}", "key", timeout_s=0.1)


async def test_the_tables_refuse_a_row_that_does_not_multiply_out(store: Store) -> None:
    (row,) = ledger_rows(turn(), BOOK)
    wrong = msgspec.structs.replace(row, cost_micro_usd=row.cost_micro_usd - 1)
    with pytest.raises((APIError, StoreUnavailable), match="usage_records"):
        await store.ledger.record_turn(turn(), (wrong,))
    assert (await store.ledger.session_usage("acct_1", "sess_1")).turns == 0


# Answers that are lost, and callers that come at once.


class LosesAnAnswer(httpx.AsyncBaseTransport):
    """What is asked happens, but the first answer does not arrive."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if not self.lost:
            self.lost += 1
            await response.aread()
            raise httpx.ReadError("the connection was reset")
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_a_call_whose_answer_was_lost_is_made_again(
    store: Store, supabase: SupabaseProject
) -> None:
    opened = await Database.open(supabase.url, supabase.service_key)
    opened._http._transport = transport = LosesAnAnswer(opened._http._transport)
    ledger = SupabaseLedger(opened)
    assert await ledger.record_turn(turn(), ledger_rows(turn(), BOOK)) is Recorded.AGAIN
    assert transport.lost == 1
    assert await store.ledger.rows("acct_1", "sess_1") == list(ledger_rows(turn(), BOOK))
    await opened.close()


async def test_metadata_may_be_any_text(store: Store) -> None:
    said = {"who": "A\0da \N{SNOWMAN} \U0001f600", "\0": ""}
    opened = await store.ledger.open_session("sess_2", "acct_1", None, 1.0, metadata=said)
    assert opened.metadata == said
    assert (await store.ledger.list_sessions("acct_1"))[-1].metadata == said


async def test_numbers_beyond_53_bits_are_exact(store: Store) -> None:
    dear = msgspec.structs.replace(BOOK, token_micro_usd=999_999_999)
    usage = turn(output_tokens=100_000_001 - 90)
    cost = 100_000_001 * 999_999_999
    assert cost != int(float(cost))
    await record(store, usage, dear)
    await store.ledger.close_session("acct_1", "sess_1", 2_000.0, "client")
    (row,) = await store.ledger.rows("acct_1", "sess_1")
    (owed,) = await store.outbox.rows("acct_1", "sess_1")
    (used,) = await store.reports.usage("acct_1", 0, 9e9, frozenset(), limit=1)
    spent = await store.budgets.spent("acct_1", usage.at)
    assert {row.cost_micro_usd, owed.cost_micro_usd, used.cost_micro_usd, spent} == {cost}


@pytest.mark.slow  # A PostgreSQL has to be started, whose connections run side by side.
async def test_a_hundred_settle_while_ten_close(supabase_on_postgres: SupabaseProject) -> None:
    store = await in_project(supabase_on_postgres)()
    await furnish(store)
    turns = [turn(f"resp_{number % 50}", images=number % 3) for number in range(100)]
    for usage in turns[:10]:
        await record(store, usage)
    settling = asyncio.gather(*(record(store, usage) for usage in turns))
    closes = (
        store.ledger.close_session("acct_1", "sess_1", float(n), f"by {n}") for n in range(10)
    )
    closed, *others = await asyncio.gather(*closes)
    verdicts = await settling
    await store.ledger.cut_segments(9e9)

    assert all(other == closed for other in others)
    assert sum(map(bool, verdicts)) == 40
    rows = await store.ledger.rows("acct_1", "sess_1")
    sums = await store.ledger.session_usage("acct_1", "sess_1")
    owed = await store.outbox.rows("acct_1", "sess_1")
    assert sums.turns == 50
    on_the_receipt = micro(closed.receipt.total_usd)
    assert on_the_receipt + sums.late_micro_usd == sums.cost_micro_usd
    assert sum(each.cost_micro_usd for each in owed) == sums.cost_micro_usd
    assert sum(row.cost_micro_usd for row in rows) == sums.cost_micro_usd
    assert sum(each.units for each in owed) == sum(row.billable_units for row in rows)
    await store.close()
