"""The bill: sessions, receipts, and the ledger against what the responses said of themselves."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from metering.signing import verify
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import ServerProcess

TOKEN_USD = Decimal("0.0002")
IMAGE_USD = Decimal("0.50")


def session(server: ServerProcess, session_id: str, method: str = "GET") -> dict[str, Any]:
    answer = httpx.request(
        method,
        f"{server.base_url}/v1/sessions/{session_id}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    assert answer.status_code == 200
    return answer.json()


def session_of(server: ServerProcess, **request: Any) -> tuple[Any, dict[str, Any]]:
    """A response that came by itself, and its session."""
    raw = client(server).responses.with_raw_response.create(model=MODEL, **request)
    return raw.parse(), session(server, raw.headers["x-kosmosx-session"])


def test_a_short_text_request_pays_the_minimum(server: ServerProcess) -> None:
    response, closed = session_of(server, input="Hi")
    assert response.usage.total_tokens < 100
    assert closed["status"] == "closed"
    key = httpx.get(f"{server.base_url}/v1/receipts/key").json()["public_key"]
    assert verify(closed["receipt"], key).session_id == closed["id"]
    assert {name: closed["receipt"][name] for name in ("lines", "total_usd", "price_version")} == {
        "lines": [
            {
                "meter": "tokens",
                "units": response.usage.total_tokens,
                "billable_units": 100,
                "unit_price_usd": "0.0002",
                "amount_usd": "0.02",
                "price_version": closed["receipt"]["price_version"],
            }
        ],
        "total_usd": "0.02",
        "price_version": closed["receipt"]["price_version"],
    }


def test_a_picture_pays_the_picture_and_the_counted_tokens(server: ServerProcess) -> None:
    response, closed = session_of(server, input=[message("What is this?", picture_url())])
    total = TOKEN_USD * response.usage.total_tokens + IMAGE_USD
    assert Decimal(closed["receipt"]["total_usd"]) == total
    lines = {line["meter"]: line for line in closed["receipt"]["lines"]}
    assert lines["images"]["billable_units"] == 1
    assert lines["tokens"]["billable_units"] == response.usage.total_tokens


def test_a_connection_is_a_session_with_one_receipt(server: ServerProcess) -> None:
    with socket(client(server)) as ws:
        first = ws.say(input=[message("Describe the picture.", picture_url())])[-1].response
        running = session(server, ws.session_id)
        assert (running["status"], running["receipt"]) == ("open", None)
        assert running["usage"]["total_tokens"] == first.usage.total_tokens
        second = ws.say(input="How many shapes?", previous_response_id=first.id)[-1].response
        closed = ws.close()
    assert closed == session(server, ws.session_id)
    assert closed["status"] == "closed"
    assert closed["closed_at"] >= closed["opened_at"]
    total = first.usage.total_tokens + second.usage.total_tokens
    assert closed["usage"]["total_tokens"] == total
    billable = first.usage.total_tokens + max(100, second.usage.total_tokens)
    assert Decimal(closed["receipt"]["total_usd"]) == TOKEN_USD * billable + IMAGE_USD


def test_a_session_joined_by_header(server: ServerProcess) -> None:
    official = client(server)
    opened = official.post("/sessions", cast_to=object)
    header = {"X-Kosmosx-Session": opened["id"]}
    usages = [
        official.responses.create(model=MODEL, input="Hi", extra_headers=header).usage
        for _ in range(2)
    ]
    closed = session(server, opened["id"], "DELETE")
    assert closed == session(server, opened["id"], "DELETE")
    assert closed["usage"]["total_tokens"] == sum(usage.total_tokens for usage in usages)
    assert closed["receipt"]["total_usd"] == "0.04"
    with pytest.raises(openai.ConflictError) as refused:
        official.responses.create(model=MODEL, input="Hi", extra_headers=header)
    assert refused.value.code == "session_closed"


def test_a_response_that_joins_anothers_session_outlives_it(slow_server: ServerProcess) -> None:
    """The session of a response that came by itself ends with the last one in it."""
    official = client(slow_server)
    create = official.responses.with_streaming_response.create
    with create(model=MODEL, input="Hi", stream=True) as first:
        header = {"X-Kosmosx-Session": first.headers["x-kosmosx-session"]}
        joined = official.responses.create(model=MODEL, input="Hi", extra_headers=header)
        *_, completed = first.parse()
    assert joined.status == "completed"
    closed = session(slow_server, header["X-Kosmosx-Session"])
    assert closed["status"] == "closed"
    used = completed.response.usage.total_tokens + joined.usage.total_tokens
    assert closed["usage"]["total_tokens"] == used


def test_closing_stops_what_is_live_and_bills_it(server: ServerProcess) -> None:
    with socket(client(server)) as ws:
        ws.connection.response.create(model=MODEL, input="What can you do?")
        created = ws.connection.recv().response
        ws.connection.send({"type": "kosmosx:session.close"})
        events = []
        while (event := ws.connection.recv()).type != "kosmosx:session.closed":
            events.append(event)
    assert events[-1].type in {"response.incomplete", "response.completed"}
    final = client(server).responses.retrieve(created.id)
    assert event.session["usage"]["output_tokens"] == final.usage.output_tokens


def test_the_ledger_is_the_sum_of_the_usage_fields(server: ServerProcess) -> None:
    """Over both transports and JSON, some at once, some cancelled; every response is in it once."""
    key = server.create_key()
    official = client(server, key)
    with ThreadPoolExecutor(8) as pool:
        plain = [
            pool.submit(official.responses.create, model=MODEL, input=f"Hello {n}!")
            for n in range(8)
        ]
        ids = [future.result().id for future in plain]
    with socket(official) as ws:
        ids += [ws.say(input=[message("?", picture_url())])[-1].response.id for _ in range(2)]
        ws.close()
    with official.responses.create(model=MODEL, input="What can you do?", stream=True) as stream:
        for event in stream:
            if event.type == "response.created":
                ids.append(event.response.id)
                official.responses.cancel(event.response.id)
    usages = [official.responses.retrieve(response_id).usage for response_id in ids]
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as books:
        (account,) = books.execute(
            "SELECT account_id FROM api_keys WHERE id = ?", [key.split("_")[2]]
        ).fetchone()
        rows = books.execute(
            "SELECT response_id, raw_units FROM usage_records"
            " WHERE account_id = ? AND meter = 'tokens'",
            [account],
        ).fetchall()
    billed = {response_id for response_id, _ in rows}
    assert len(billed) == len(rows)
    charged = {
        response_id: usage
        for response_id, usage in zip(ids, usages, strict=True)
        if usage.output_tokens
    }
    assert billed == set(charged)
    assert sum(units for _, units in rows) == sum(u.total_tokens for u in charged.values())
