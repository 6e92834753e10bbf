"""The bytes of vLLM's endpoint; a real server says them in `test_vllm_remote`."""

import json

import pytest

from kosmosx_stream.engines import vllm_http
from kosmosx_stream.engines.port import (
    Delta,
    EngineDead,
    EngineError,
    EngineRefused,
)
from kosmosx_stream.engines.vllm_http import Choice, Event, Failure, ImagesForgotten
from tests.kosmosx_stream.engines.conformance import ask, picture


def test_an_image_goes_with_its_bytes_unless_the_server_has_it() -> None:
    first, second = picture(1), picture(2)
    request = ask(first, second, 5)
    key = vllm_http.image_key(request, first)
    parts = json.loads(vllm_http.body(request, by_key={key}))["content_parts"]
    assert [part["uuid"] for part in parts] == [key, vllm_http.image_key(request, second)]
    assert ["url" in part for part in parts] == [False, True]


def test_a_token_can_be_kept_out_of_an_answer() -> None:
    said = json.loads(vllm_http.body(ask(5), never=9))["sampling_params"]
    assert said["logit_bias"] == {"9": vllm_http.NEVER}
    assert "logit_bias" not in json.loads(vllm_http.body(ask(5)))["sampling_params"]


@pytest.mark.parametrize("line", [b"\n", b": ping\n", b"data: [DONE]\n", b"event: x\n"])
def test_lines_that_say_nothing(line: bytes) -> None:
    assert vllm_http.event(line) is None


def test_an_event_is_a_step_a_sum_or_a_failure() -> None:
    step = vllm_http.event(b'data: {"usage":null,"choices":[{"index":0,"token_ids":[5,6]}]}\n')
    assert step == vllm_http._Event(choices=(Choice((5, 6)),))
    total = vllm_http.event(
        b'data: {"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":64}}}\n'
    )
    assert isinstance(total, Event)
    assert total.usage is not None
    assert total.usage.cached_tokens == 64
    failed = vllm_http.event(b'data: {"error": {"message": "no", "code": 400, "type": "x"}}\n')
    assert failed == Failure("no", 400)


@pytest.mark.parametrize(
    "line",
    [b"data: <html>", b"data: {", b'data: {"choices":[{"finish_reason":"tired"}]}', b"data: []"],
)
def test_what_is_not_vllms_is_an_error(line: bytes) -> None:
    with pytest.raises(EngineError):
        vllm_http.event(line)


def test_an_answer_that_the_server_ended_can_be_continued() -> None:
    assert vllm_http.delta(Choice((5,), "stop")) == Delta((5,), "stop")
    with pytest.raises(EngineDead):
        vllm_http.delta(Choice((), "abort"))


@pytest.mark.parametrize(
    ("status", "answer", "failure"),
    [
        (400, b'{"error": {"message": "too long", "code": 400}}', Failure("too long", 400)),
        (401, b'{"error": "Unauthorized"}', Failure("Unauthorized", 401)),
        (502, b"<html>Bad Gateway</html>", Failure("HTTP status 502", 502)),
    ],
)
def test_a_refusal_has_a_reason(status: int, answer: bytes, failure: Failure) -> None:
    assert vllm_http.refusal(status, answer) == failure


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, EngineRefused),
        (401, EngineError),  # our key is wrong; the prompt is not
        (404, EngineError),
        (500, EngineError),
        (503, EngineDead),
    ],
)
def test_failures_are_told_apart(code: int, kind: type[EngineError]) -> None:
    assert type(vllm_http.engine_error(Failure("", code), by_key_alone=False)) is kind


@pytest.mark.parametrize(
    ("failure", "by_key_alone", "forgotten"),
    [
        (Failure("Cache miss for image at index 0", 400), True, True),
        (Failure("Internal server error", 500), True, True),
        (Failure("Internal server error", 500), False, False),
        (Failure("too long", 400), True, False),
    ],
)
def test_an_image_that_is_no_longer_there(
    failure: Failure, *, by_key_alone: bool, forgotten: bool
) -> None:
    error = vllm_http.engine_error(failure, by_key_alone=by_key_alone)
    assert isinstance(error, ImagesForgotten) is forgotten


def test_only_vllm_tells_a_window() -> None:
    assert vllm_http.served_window(b'{"data": [{"id": "x", "max_model_len": 2048}]}') == 2048
    for answer in (b"<html>", b'{"data": []}', b'{"data": [{"id": "gpt"}]}'):
        with pytest.raises(EngineError, match="no vLLM server"):
            vllm_http.served_window(answer)
