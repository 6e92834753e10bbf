"""Buckets of keys, in a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from conversation.redis_connection import connect
from kosmosx_stream.embedded_valkey import embedded_valkey
from kosmosx_stream.limits.plans import Plans
from kosmosx_stream.limits.rate_limits import PERIOD_S, RateLimits, Take
from kosmosx_stream.protocol.errors import RateLimited
from kosmosx_stream.protocol.rate_limits import RateLimit, limit_headers
from metering.accounts import Account
from metering.authenticator import Principal
from metering.errors import StoreUnavailable
from metering.plans import Plan
from metering.prices import default_price_book
from metering.sqlite.accounts import SqliteAccounts
from metering.sqlite.database import Database
from metering.sqlite.store import open_sqlite, sqlite_store
from tests.kosmosx_stream.instances import started

names = (f"key_{number}" for number in count())


@pytest.fixture(scope="module")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    async with embedded_valkey(tmp_path_factory.mktemp("rates")) as url:
        redis = connect(url)
        yield redis
        await redis.aclose()


@pytest.fixture
def rates(redis: Redis) -> RateLimits:
    return RateLimits(redis)


async def test_a_plan_without_limits_limits_nothing(rates: RateLimits) -> None:
    assert await rates.take(Plan(), "key", Take(10**9, 10**9, 10**9)) == ()


async def test_a_full_bucket_is_taken_and_told(rates: RateLimits) -> None:
    plan, key = Plan(requests_per_minute=3), next(names)
    left = [(await rates.take(plan, key, Take(1)))[0].remaining for _ in range(3)]
    assert left == [2, 1, 0]
    with pytest.raises(RateLimited, match="3 requests a minute") as refused:
        await rates.take(plan, key, Take(1))
    (limit,) = refused.value.limits
    assert 0 < limit.wait_seconds <= PERIOD_S / 3
    assert PERIOD_S / 3 * 2 < limit.reset_seconds <= PERIOD_S


async def test_nothing_is_taken_unless_all_is_there(rates: RateLimits) -> None:
    plan, key = Plan(requests_per_minute=5, images_per_minute=1), next(names)
    await rates.take(plan, key, Take(1, images=1))
    with pytest.raises(RateLimited, match="1 images a minute") as refused:
        await rates.take(plan, key, Take(1, images=1))
    assert {limit.name: limit.remaining for limit in refused.value.limits} == {
        "requests": 4,
        "images": 0,
    }
    assert (await rates.take(plan, key, Take(1)))[0].remaining == 3


async def test_keys_have_buckets_of_their_own(rates: RateLimits) -> None:
    plan = Plan(requests_per_minute=1)
    await rates.take(plan, next(names), Take(1))
    await rates.take(plan, next(names), Take(1))


async def test_what_is_owed_is_waited_for(rates: RateLimits) -> None:
    plan, key = Plan(tokens_per_minute=60), next(names)
    await rates.take(plan, key, Take(1, tokens=10))
    await rates.owe(plan, key, Take(tokens=170))
    with pytest.raises(RateLimited) as refused:
        await rates.take(plan, key, Take(1, tokens=1))
    (limit,) = refused.value.limits
    assert 119 < limit.wait_seconds <= 121  # 120 tokens are owed, and one is wanted.


async def test_a_request_larger_than_its_bucket_needs_a_full_one(rates: RateLimits) -> None:
    plan, key = Plan(tokens_per_minute=60), next(names)
    (limit,) = await rates.take(plan, key, Take(1, tokens=100))
    assert limit.remaining == 0
    with pytest.raises(RateLimited):
        await rates.take(plan, key, Take(1, tokens=1))


async def test_time_fills_a_bucket_evenly(rates: RateLimits, redis: Redis) -> None:
    plan, key = Plan(requests_per_minute=60), next(names)
    await rates.take(plan, key, Take(1))
    (bucket,) = await redis.keys(f"*{key}:requests")
    assert 0 < await redis.pttl(bucket) <= 1000  # Full again after a sixtieth of a minute: gone.


async def test_those_who_ask_at_the_same_time_get_no_more_than_there_is(rates: RateLimits) -> None:
    plan, key = Plan(requests_per_minute=10), next(names)
    asked = [rates.take(plan, key, Take(1)) for _ in range(40)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, tuple) for answer in answers) == 10


class Unreachable(SqliteAccounts):
    async def account(self, account_id: str) -> Account:
        raise StoreUnavailable("down")


async def test_an_adopted_turn_owes_to_the_key_that_began_it(
    rates: RateLimits, tmp_path: Path
) -> None:
    """Who takes it over knows the log only."""
    store = await open_sqlite(tmp_path / "books.db")
    await store.accounts.create_account(Account(id="acct", name="", created_at=0, plan="basic"))
    plans, key_id = Plans(store, default_price_book(), rates), next(names)
    await plans.owe(replace(started(), limited_as=key_id), 50_000)
    with pytest.raises(RateLimited):
        await plans.take(Principal("acct", key_id), started())
    await plans.take(Principal("acct", next(names)), started())
    await store.close()


async def test_without_the_books_an_answer_ends_all_the_same(
    rates: RateLimits, tmp_path: Path
) -> None:
    database = await Database.open(tmp_path / "books.db")
    store = replace(sqlite_store(database), accounts=Unreachable(database))
    plans = Plans(store, default_price_book(), rates)
    await plans.owe(started(), 5)
    with pytest.raises(StoreUnavailable):
        await plans.check_sessions("acct")
    await database.close()


def test_headers_tell_of_all_limits_and_the_nearest() -> None:
    limits = (
        RateLimit(name="requests", limit=60, remaining=59, reset_seconds=1),
        RateLimit(name="tokens", limit=100, remaining=5, reset_seconds=57.2, wait_seconds=3.4),
    )
    assert limit_headers(limits) == {
        "RateLimit-Policy": '"requests";q=60;w=60, "tokens";q=100;w=60',
        "RateLimit": '"requests";r=59;t=1, "tokens";r=5;t=58',
        "RateLimit-Limit": "100",
        "RateLimit-Remaining": "5",
        "RateLimit-Reset": "58",
        "Retry-After": "4",
    }
    assert limit_headers(()) == {}
