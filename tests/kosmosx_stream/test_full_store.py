"""A store without room: what runs is finished, nothing new begins, and all is well afterwards."""

import time

import httpx
import openai
import pytest
from redis import Redis

from tests.kosmosx_stream.clients import MODEL, Socket, client
from tests.pair import Pair

ASKED = {"model": MODEL, "input": "Say something.", "max_output_tokens": 20}


def test_a_full_store_loses_nothing(pair: Pair) -> None:
    official = client(pair.one)
    undisturbed = official.responses.create(**ASKED)
    with official.responses.connect() as connection, Redis.from_url(pair.valkey.url) as redis:
        ws = Socket(connection)
        connection.response.create(**ASKED)
        seen = [connection.recv() for _ in range(5)]
        redis.config_set("maxmemory", 1)
        try:
            seen += ws.read()
            (refused,) = ws.say(input="Something new.")
            assert (refused.status, refused.error.code) == (503, "log_unavailable")
            with pytest.raises(openai.InternalServerError) as told:
                official.responses.create(**ASKED)
            assert (told.value.status_code, told.value.code) == (503, "log_unavailable")
            for refusal in (
                official.conversations.create,
                lambda: official.responses.create(**ASKED, extra_headers={"Idempotency-Key": "k"}),
            ):
                with pytest.raises(openai.InternalServerError) as told:
                    refusal()
                assert told.value.status_code == 503
        finally:
            redis.config_set("maxmemory", 0)
        assert seen[-1].response.output_text == undisturbed.output_text
        again = ws.say(input=ASKED["input"], max_output_tokens=20)
        assert again[-1].response.output_text == undisturbed.output_text
        receipt = ws.close()
    assert receipt["usage"]["total_tokens"] == 2 * undisturbed.usage.total_tokens


def test_a_full_store_is_sent_no_traffic(pair: Pair) -> None:
    with Redis.from_url(pair.valkey.url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            while (ready := httpx.get(f"{pair.one.base_url}/health/ready")).status_code == 200:
                time.sleep(0.1)
            assert (ready.status_code, ready.json()) == (503, {"status": "log_unavailable"})
        finally:
            redis.config_set("maxmemory", 0)
    pair.one.wait_until_ready()
