"""Admission: from a request to the first entry of its log, or to a refusal that costs nothing.

Here the history is looked up, the pictures are taken in, the prompt is built and fitted into the
context window, and the price is frozen.
"""

import time
from collections.abc import Sequence
from itertools import takewhile

import msgspec

from conversation.entries import Dropped, Sampling, Started
from conversation.items import Image, Item, Message, Part, Text, Turn, image_ids
from conversation.ports import History, NotFound
from conversation.window import ContextTooLong, fit
from kosmosx_stream.chat_format import ChatFormat
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.grant import Granted
from kosmosx_stream.ids import new_id
from kosmosx_stream.images import ImageError, ImageLoader
from kosmosx_stream.protocol import errors
from kosmosx_stream.protocol.fields import unsupported
from kosmosx_stream.protocol.requests import CreateResponse, InputImage, InputMessage
from kosmosx_stream.protocol.responses import echoed_fields
from kosmosx_stream.settings import Settings
from kosmosx_stream.settlement import freeze
from kosmosx_stream.unstored import Chain, UnstoredTurns
from metering.authenticator import Principal
from metering.prices import PriceBook

MAX_IMAGES = 4
"""Images that one request may bring."""

WARM_UP_TOKENS = 1
"""The fewest that make an engine read a prompt; they are thrown away."""


class Past(msgspec.Struct, frozen=True):
    """What a request continues: its turns, oldest first, and items that await an answer."""

    turns: tuple[Turn, ...] = ()
    parent_id: str | None = None
    conversation_id: str | None = None
    pending: tuple[Item, ...] = ()
    revision: str = ""


class Fitted(msgspec.Struct, frozen=True):
    """What stays in the window, how long the answer may get, and what had to go."""

    turns: Sequence[Turn]
    max_tokens: int
    dropped: Dropped | None


class Admission:
    """Admits turns for one model."""

    def __init__(
        self,
        *,
        engine: Engine,
        chat_format: ChatFormat,
        history: History,
        images: ImageLoader,
        prices: PriceBook,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._format = chat_format
        self._history = history
        self._images = images
        self._price = freeze(prices)
        self._settings = settings

    async def admit(
        self,
        principal: Principal,
        request: CreateResponse,
        session_id: str,
        *,
        unstored: UnstoredTurns,
        response_id: str | None = None,
        opens_session: bool = False,
        single_turn: bool = False,
    ) -> Started:
        """Check the request against model, history and window, and write down all it takes.

        `unstored` are turns that live on the client's connection only. `response_id` is the one
        that is reserved for this response, if one is.

        Raises:
            ApiError: the request cannot be served; nothing was generated or billed.
        """
        if isinstance(principal, Granted):
            request = principal.grant.limit(request)
        if request.model != self._settings.model_name:
            raise errors.NotFound(
                f"The model '{request.model}' does not exist; "
                f"this server has '{self._settings.model_name}'.",
                code="model_not_found",
                param="model",
            )
        account_id = principal.account_id
        past = await self._past(account_id, request, unstored)
        previous = request.previous_response_id
        if (
            previous
            and isinstance(principal, Granted)
            and not principal.grant.continues(past.turns)
        ):
            raise _previous_not_found(previous)
        said = await self.take_in(account_id, request.messages)
        asked = (*past.pending, *said)
        shown = image_ids(asked)
        sees = bool(shown) or any(turn.image_ids for turn in past.turns)
        grounding = self._grounding(request, sees=sees)
        turn_ids = self._format.segment(asked, grounding=grounding)
        fitted = self._fit(request, past.turns, turn_ids, len(shown))
        prompt_ids = self._prompt(request.instructions, fitted.turns, turn_ids)
        all_images = (*(i for turn in fitted.turns for i in turn.image_ids), *shown)
        return Started(
            response_id=response_id or new_id("resp"),
            account_id=account_id,
            session_id=session_id,
            created_at=time.time(),
            model=request.model,
            request=echoed_fields(request),
            price=self._price,
            sampling=Sampling(temperature=request.temperature, top_p=request.top_p),
            max_tokens=fitted.max_tokens if request.generate else WARM_UP_TOKENS,
            input_tokens=self._engine.count(prompt_ids, len(all_images)),
            prompt_ids=prompt_ids,
            turn_ids=turn_ids,
            image_ids=all_images,
            new_images=(*_unbilled(fitted.turns), *shown),
            input=said,
            output_item_id=new_id("msg"),
            parent_id=past.parent_id,
            conversation_id=past.conversation_id,
            conversation_revision=past.revision,
            pending=past.pending,
            grounding=grounding,
            store=request.store,
            background=request.background,
            generate=request.generate,
            opens_session=opens_session,
            single_turn=single_turn,
            dropped=fitted.dropped,
        )

    def _grounding(self, request: CreateResponse, *, sees: bool) -> bool:
        """Whether to ask the model for boxes; by default where there is something to see."""
        if not self._format.grounds:
            if request.grounding:
                raise unsupported("kosmosx:grounding", "this model draws no boxes")
            return False
        return sees if request.grounding is None else request.grounding

    async def _past(
        self, account_id: str, request: CreateResponse, unstored: UnstoredTurns
    ) -> Past:
        if request.conversation is not None:
            return await self._conversation(account_id, request.conversation)
        if request.previous_response_id is not None:
            return await self._chain(account_id, request.previous_response_id, unstored)
        return Past()

    async def _conversation(self, account_id: str, conversation_id: str) -> Past:
        try:
            found = await self._history.conversation(account_id, conversation_id)
            head = found.head_id
            turns = await self._history.chain(account_id, head) if head else []
        except NotFound as error:
            raise errors.conversation_not_found(conversation_id) from error
        return Past(tuple(turns), head, conversation_id, found.pending, found.revision)

    async def _chain(self, account_id: str, response_id: str, unstored: UnstoredTurns) -> Past:
        """The chain of a response: the connection's own turns first, then the stored ones."""
        chain = unstored.chain(response_id) or Chain((), response_id)
        try:
            stored = (
                await self._history.chain(account_id, chain.stored_id) if chain.stored_id else []
            )
        except NotFound as error:
            raise _previous_not_found(response_id) from error
        return Past((*stored, *chain.turns), response_id)

    async def take_in(self, account_id: str, messages: Sequence[InputMessage]) -> tuple[Item, ...]:
        """Items of a request as they are stored; their pictures are checked and kept.

        Raises:
            InvalidRequest: a picture is not taken.
        """
        return tuple([await self._take_in(account_id, message) for message in messages])

    async def _take_in(self, account_id: str, message: InputMessage) -> Message:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, InputImage):
                parts.append(await self._take_in_image(account_id, part))
            else:
                parts.append(Text(part.text))
        return Message(id=new_id("msg"), role=message.role, content=tuple(parts))

    async def _take_in_image(self, account_id: str, part: InputImage) -> Image:
        if not self._format.sees:
            raise unsupported(part.param, "this model takes no images")
        try:
            image = await self._images.load(part.data_url)
        except ImageError as error:
            raise errors.InvalidRequest(str(error), code=error.code, param=part.param) from error
        await self._history.put_image(account_id, image.image_id, image.data)
        return Image(image.image_id, part.detail)

    def _fit(
        self,
        request: CreateResponse,
        turns: Sequence[Turn],
        turn_ids: tuple[int, ...],
        images: int,
    ) -> Fitted:
        window = self._engine.max_model_len
        wanted = request.max_output_tokens or min(self._settings.max_output_tokens, window // 4)
        opening = len(self._format.opening(request.instructions))
        costs = [self._engine.count(self._stretch(turn), len(turn.image_ids)) for turn in turns]
        new = self._engine.count(turn_ids, images)
        try:
            first = fit(
                opening=opening,
                turns=costs,
                new=new,
                budget=window - min(wanted, window - 1),
                truncation=request.truncation,
            )
        except ContextTooLong as error:
            raise errors.InvalidRequest(
                f"The input is {error.needed} tokens long with its history, and "
                f"{window - error.limit} are kept for the answer; the model's context window is "
                f"{window} tokens.",
                code="context_length_exceeded",
                param="input",
            ) from error
        dropped = Dropped(first, sum(costs[:first]), window) if first else None
        return Fitted(turns[first:], wanted, dropped)

    def _stretch(self, turn: Turn) -> tuple[int, ...]:
        prompt_ids = turn.prompt_ids
        if prompt_ids is None:
            prompt_ids = self._format.segment(turn.input, grounding=turn.grounding)
        said = (*prompt_ids, *turn.answer_ids)
        return (*said, *self._format.closing(turn.answer_ids)) if said else ()

    def _prompt(
        self, instructions: str | None, turns: Sequence[Turn], turn_ids: tuple[int, ...]
    ) -> tuple[int, ...]:
        past = (token for turn in turns for token in self._stretch(turn))
        return (*self._format.opening(instructions), *past, *turn_ids)


def _previous_not_found(response_id: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def _unbilled(turns: Sequence[Turn]) -> tuple[str, ...]:
    """Images that were put in since the last answer: no response has paid for them."""
    since_answer = takewhile(lambda turn: not turn.answer_ids, reversed(turns))
    return tuple(image_id for turn in since_answer for image_id in turn.image_ids)
