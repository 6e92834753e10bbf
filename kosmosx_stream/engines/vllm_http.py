"""What is said to a vLLM server, and what it answers: `POST /inference/v1/generate`.

vLLM's endpoint for token ids in, token ids out (`--enable-scale-out`), as of vLLM 0.32. Knows the
bytes of both directions, but no socket.
"""

import base64
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from kosmosx_stream.engines.port import (
    Delta,
    EngineDead,
    EngineError,
    EngineRefused,
    FinishReason,
    Generate,
    ImageInput,
)
from kosmosx_stream.engines.vllm_grammar import ANSWERED

GENERATE = "/inference/v1/generate"
MODELS = "/v1/models"
HEALTH = "/health"

_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_GONE = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""What a proxy says when nobody is behind it, and vLLM where another try may do."""
NEVER = -100.0
"""The smallest bias that vLLM gives a token."""
_PREFIX = b"data: "
_DONE = b"[DONE]"


class ImagesForgotten(EngineError):
    """An image that was sent by its key alone is no longer cached; nothing was generated."""


class Failure(msgspec.Struct, frozen=True):
    """vLLM's error object; `code` is an HTTP status."""

    message: str
    code: int


class Choice(msgspec.Struct, frozen=True):
    """What a step added to the answer. `abort`: somebody ended it on the server's side."""

    token_ids: tuple[int, ...] | None = None
    finish_reason: FinishReason | Literal["abort"] | None = None


class _CachedTokens(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Comes behind the last token. The details need `--enable-prompt-tokens-details`."""

    prompt_tokens_details: _CachedTokens | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of the prompt that came from the prefix cache; None if the server does not say."""
        details = self.prompt_tokens_details
        return None if details is None else details.cached_tokens


class Event(msgspec.Struct, frozen=True):
    """One server-sent event of an answer. `prompt_token_ids` is the expanded prompt, if asked."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    prompt_token_ids: tuple[int, ...] | None = None


class _Event(Event, frozen=True):
    error: Failure | None = None


class _Model(msgspec.Struct, frozen=True):
    max_model_len: int


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...]


class _Refusal(msgspec.Struct, frozen=True):
    error: Failure | str


def image_key(request: Generate, image: ImageInput) -> str:
    """The name of an image in vLLM's caches; another tenant's does not find it."""
    return f"{image.image_id}-{request.cache_salt}"


def body(
    request: Generate,
    *,
    by_key: AbstractSet[str] = frozenset(),
    return_prompt: bool = False,
    never: int | None = None,
) -> bytes:
    """The request in JSON. Images whose keys are in `by_key` go by their key alone.

    `never` is a token that the answer may not hold.
    """
    said: dict[str, Any] = {
        "request_id": request.request_id,
        "token_ids": request.prompt_ids,
        "sampling_params": sampling_params(request)
        | ({} if never is None else {"logit_bias": {str(never): NEVER}}),
        "cache_salt": request.cache_salt,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": return_prompt,
    }
    if request.images:
        said["content_parts"] = [
            _image(image, image_key(request, image), by_key) for image in request.images
        ]
    return msgspec.json.encode(said)


def sampling_params(request: Generate) -> dict[str, Any]:
    """How vLLM draws the answer: ids only, as they come."""
    sampling = request.sampling
    said: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": request.max_tokens,
        "detokenize": False,
    }
    if request.grammar is not None:
        said["structured_outputs"] = {"grammar": request.grammar}
        said["extra_args"] = {ANSWERED: request.answered}
    return said


def _image(image: ImageInput, key: str, by_key: AbstractSet[str]) -> dict[str, str]:
    part = {"type": "image_url", "uuid": key}
    if key not in by_key:
        # vLLM looks at the bytes for the format, not at the type that is named here.
        part["url"] = f"data:image/png;base64,{base64.b64encode(image.data).decode()}"
    return part


_decode_event = msgspec.json.Decoder(_Event).decode


def event(line: bytes) -> Event | Failure | None:
    """The event of a line; None for blank lines, comments and the end mark.

    Raises:
        EngineError: it is not what vLLM says.
    """
    if not line.startswith(_PREFIX) or line.startswith(_DONE, len(_PREFIX)):
        return None
    try:
        said = _decode_event(line[len(_PREFIX) :])
    except msgspec.MsgspecError as error:
        raise EngineError(f"the server's answer is not vLLM's: {error}") from error
    return said.error or said


def delta(choice: Choice) -> Delta:
    """What a step added, as the port has it; without what was cached, which comes at the end.

    Raises:
        EngineDead: the answer was ended on the server's side, as when it is shut down.
    """
    if choice.finish_reason == "abort":
        raise EngineDead("the server ended the answer")
    return Delta(choice.token_ids or (), choice.finish_reason)


def served_window(answer: bytes) -> int:
    """Longest prompt plus answer in tokens, from the answer of `GET /v1/models`.

    Raises:
        EngineError: it is not what vLLM says.
    """
    try:
        return msgspec.json.decode(answer, type=_Models).data[0].max_model_len
    except (msgspec.MsgspecError, IndexError) as error:
        raise EngineError(f"it is no vLLM server: {error}") from error


def refusal(status: int, answer: bytes) -> Failure:
    """The reason in an answer that is no 200, as far as there is one."""
    try:
        error = msgspec.json.decode(answer, type=_Refusal).error
    except msgspec.MsgspecError:
        return Failure(f"HTTP status {status}", status)
    return error if isinstance(error, Failure) else Failure(error, status)


def engine_error(failure: Failure, *, by_key_alone: bool) -> EngineError:
    """What a failure means to us.

    `by_key_alone`: an image was sent without its bytes. vLLM's front knows that it lacks one and
    says so; if only the engine behind it does, it says no more than that something went wrong.
    """
    servers_fault = failure.code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if by_key_alone and (servers_fault or failure.message.startswith("Cache miss for image")):
        return ImagesForgotten(failure.message)
    if failure.code in _REFUSED:
        return EngineRefused(failure.message)
    if failure.code in _GONE:
        return EngineDead(failure.message)
    return EngineError(failure.message)
