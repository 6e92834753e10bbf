"""Admission: from a request to the first entry of its log, or to a refusal that costs nothing.

Here the history is looked up, the items are taken in, the prompt is built and fitted into the
context window, the answer's form is decided, and the price is frozen.
"""

import time
from collections.abc import Sequence
from itertools import chain, takewhile

import msgspec

from conversation.entries import Dropped, Sampling, Started
from conversation.items import Item, Turn, image_ids
from conversation.ports import History
from conversation.window import ContextTooLong, fit
from kosmosx_stream.access.grant import Granted, holder
from kosmosx_stream.admission.answer_form import answer_form
from kosmosx_stream.admission.aside import aside, is_brief
from kosmosx_stream.admission.images import ImageLoader
from kosmosx_stream.admission.intake import Intake
from kosmosx_stream.admission.past import Past, past_of, previous_response_not_found
from kosmosx_stream.admission.sealing import Seal
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.engines.port import Engine
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.formats.item_text import Function, functions_text
from kosmosx_stream.ids import answer_id, new_id
from kosmosx_stream.protocol import errors
from kosmosx_stream.protocol.fields import unsupported
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.protocol.responses import echoed_fields
from kosmosx_stream.settings import Settings
from kosmosx_stream.settlement import freeze
from metering.authenticator import Principal
from metering.prices import PriceBook

WARM_UP_TOKENS = 1
"""The fewest that make an engine read a prompt; they are thrown away."""


class Asked(msgspec.Struct, frozen=True):
    """A request with what it continues; `turn_ids` is the stretch that its turn adds.

    `brief`: there is little to think about.
    """

    past: Past
    said: tuple[Item, ...]
    image_ids: tuple[str, ...]
    grounding: bool
    turn_ids: tuple[int, ...]
    brief: bool


class Window(msgspec.Struct, frozen=True):
    """A whole conversation, oldest item first, and the tokens that it makes."""

    items: tuple[Item, ...]
    input_tokens: int


class Fitted(msgspec.Struct, frozen=True):
    """What stays in the window, how long the answer may get, and what had to go."""

    turns: Sequence[Turn]
    prompt_ids: tuple[int, ...]
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
        seal: Seal,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._format = chat_format
        self._history = history
        self.intake = Intake(history, images, seal, sees=chat_format.sees)
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
        request = _granted(principal, request)
        response_id = response_id or new_id("resp")
        asked = await self._ask(principal, request, unstored, response_id)
        past, shown = asked.past, asked.image_ids
        marks = self._format.marks if asked.grounding else ()
        form = await aside(asked.brief, answer_form, request, marks)
        fitted = await aside(
            asked.brief, self._fit, request, past.turns, asked.turn_ids, len(shown)
        )
        all_images = (*(i for turn in fitted.turns for i in turn.image_ids), *shown)
        return Started(
            response_id=response_id,
            account_id=principal.account_id,
            session_id=session_id,
            created_at=time.time(),
            model=request.model,
            request=echoed_fields(request),
            price=self._price,
            sampling=Sampling(
                temperature=request.temperature, top_p=request.top_p, seed=request.seed
            ),
            max_tokens=fitted.max_tokens if request.generate else WARM_UP_TOKENS,
            input_tokens=self._engine.count(fitted.prompt_ids, len(all_images)),
            prompt_ids=fitted.prompt_ids,
            turn_ids=asked.turn_ids,
            image_ids=all_images,
            new_images=(*_unbilled(fitted.turns), *shown),
            input=asked.said,
            output_item_id=answer_id(response_id),
            parent_id=past.parent_id,
            conversation_id=past.conversation_id,
            conversation_revision=past.revision,
            pending=past.pending,
            grounding=asked.grounding,
            tokens=self._format.tokens,
            store=request.store,
            background=request.background,
            generate=request.generate,
            opens_session=opens_session,
            single_turn=single_turn,
            dropped=fitted.dropped,
            stop=request.stop,
            calls=form.calls,
            limited_as=holder(principal),
            grammar=form.grammar,
        )

    def _grounding(self, request: CreateResponse, *, sees: bool) -> bool:
        """Whether to ask the model for boxes; by default where it sees and answers in words."""
        if not self._format.grounds:
            if request.grounding:
                raise unsupported("kosmosx:grounding", "this model draws no boxes")
            return False
        if request.grounding is None:
            return sees and request.text.schema is None
        return request.grounding

    async def window(self, principal: Principal, request: CreateResponse) -> Window:
        """What the request's prompt would be made of, if nothing had to be dropped.

        Raises:
            ApiError: it could not be served, whatever its length.
        """
        request = _granted(principal, request)
        asked = await self._ask(principal, request, UnstoredTurns())
        past = asked.past
        prompt_ids = await aside(asked.brief, self._whole_prompt, request, asked)
        images = sum(len(turn.image_ids) for turn in past.turns) + len(asked.image_ids)
        items = (*(item for turn in past.turns for item in turn.items), *past.pending, *asked.said)
        return Window(items, self._engine.count(prompt_ids, images))

    async def _ask(
        self,
        principal: Principal,
        request: CreateResponse,
        unstored: UnstoredTurns,
        response_id: str | None = None,
    ) -> Asked:
        """Without a `response_id` it is only a question; nothing is kept of it."""
        past = await past_of(
            self._history,
            principal.account_id,
            conversation=request.conversation,
            previous_response_id=request.previous_response_id,
            unstored=unstored,
        )
        past = msgspec.structs.replace(past, turns=tuple(map(self._seen, past.turns)))
        previous = request.previous_response_id
        limited = isinstance(principal, Granted) and not principal.grant.continues(past.turns)
        if previous is not None and limited:
            raise previous_response_not_found(previous)
        said = await self.intake.take_in(
            principal.account_id,
            request.messages,
            after=past.items,
            response_id=response_id,
            may_read=lambda turn: _reaches(principal, turn),
            keep=response_id is not None,
        )
        items = (*past.pending, *said)
        shown = image_ids(items) if self._format.sees else ()
        sees = bool(shown) or any(turn.image_ids for turn in past.turns)
        grounding = self._grounding(request, sees=sees)
        brief = is_brief(request, (*past.items, *said))
        turn_ids: tuple[int, ...] = ()
        if items:
            turn_ids = await aside(brief, self._format.segment, items, grounding=grounding)
        return Asked(past, said, shown, grounding, turn_ids, brief)

    def _fit(
        self,
        request: CreateResponse,
        turns: Sequence[Turn],
        turn_ids: tuple[int, ...],
        images: int,
    ) -> Fitted:
        window = self._engine.max_model_len
        wanted = request.max_output_tokens or min(self._settings.max_output_tokens, window // 4)
        opening = self._format.opening(_told(request))
        past = [self._stretch(turn) for turn in turns]
        costs = [
            self._engine.count(ids, len(turn.image_ids))
            for ids, turn in zip(past, turns, strict=True)
        ]
        try:
            first = fit(
                opening=len(opening),
                turns=costs,
                new=self._engine.count(turn_ids, images),
                budget=window - min(wanted, window - 1),
                truncation=request.truncation,
            )
        except ContextTooLong as error:
            raise errors.InvalidRequest(
                f"The input is {error.needed} tokens long with its history, and "
                f"{wanted} are kept for the answer; the model's context window is {window} tokens.",
                code="context_length_exceeded",
                param=request.input_param,
            ) from error
        dropped = Dropped(first, sum(costs[:first]), window) if first else None
        prompt_ids = (*opening, *chain.from_iterable(past[first:]), *turn_ids)
        return Fitted(turns[first:], prompt_ids, wanted, dropped)

    def _whole_prompt(self, request: CreateResponse, asked: Asked) -> tuple[int, ...]:
        past = chain.from_iterable(map(self._stretch, asked.past.turns))
        return (*self._format.opening(_told(request)), *past, *asked.turn_ids)

    def _seen(self, turn: Turn) -> Turn:
        """The turn as this model takes it: without its images, if it takes none."""
        return turn if self._format.sees else msgspec.structs.replace(turn, image_ids=())

    def _stretch(self, turn: Turn) -> tuple[int, ...]:
        """A past turn's part of the prompt; what another model's ids said is told anew."""
        prompt_ids, answer_ids = turn.prompt_ids, turn.answer_ids
        if turn.tokens not in ("", self._format.tokens):
            prompt_ids, answer_ids = self._format.segment(turn.items, grounding=turn.grounding), ()
        elif prompt_ids is None:
            prompt_ids = self._format.segment(turn.input, grounding=turn.grounding)
        said = (*prompt_ids, *answer_ids)
        return (*said, *self._format.closing(answer_ids)) if said else ()


def _reaches(principal: Principal, turn: Turn) -> bool:
    """Whether its items may be referred to."""
    return not isinstance(principal, Granted) or principal.grant.continues([turn])


def _granted(principal: Principal, request: CreateResponse) -> CreateResponse:
    """The request as far as its maker may go."""
    return principal.grant.limit(request) if isinstance(principal, Granted) else request


def _told(request: CreateResponse) -> str | None:
    """What the model is told before all else: the developer's words, and its functions."""
    functions = functions_text(
        Function(tool.name, tool.description, tool.schema) for tool in request.tools
    )
    return "\n".join(filter(None, (request.instructions, functions))) or None


def _unbilled(turns: Sequence[Turn]) -> tuple[str, ...]:
    """Images that came in since the last answer: no response has paid for them."""
    since_answer = takewhile(lambda turn: not turn.billed, reversed(turns))
    return tuple(image_id for turn in since_answer for image_id in turn.image_ids)
