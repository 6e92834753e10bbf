"""From the items of a request to items as they are stored; pictures are checked and kept."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from conversation.items import (
    FunctionCall,
    FunctionCallOutput,
    Image,
    Item,
    Message,
    Text,
    Turn,
)
from conversation.ports import History, NotFound
from kosmosx_stream.admission.images import ImageError, ImageLoader
from kosmosx_stream.admission.sealing import BrokenSeal, Seal
from kosmosx_stream.ids import Prefix, input_item_id, new_id, response_of
from kosmosx_stream.protocol.errors import InvalidRequest, item_not_found
from kosmosx_stream.protocol.fields import unsupported
from kosmosx_stream.protocol.inputs import (
    InputCall,
    InputCallOutput,
    InputCompaction,
    InputImage,
    InputItem,
    InputMessage,
    InputPart,
    InputReference,
)

MAX_IMAGES = 4
"""Images that one request may bring."""


def _any(_turn: Turn) -> bool:
    return True


class Intake:
    """Takes items in."""

    def __init__(self, history: History, images: ImageLoader, seal: Seal, *, sees: bool) -> None:
        """`sees`: whether the model takes pictures."""
        self._history = history
        self._images = images
        self._seal = seal
        self._sees = sees

    async def take_in(
        self,
        account_id: str,
        items: Sequence[InputItem],
        *,
        after: Iterable[Item],
        response_id: str | None = None,
        may_read: Callable[[Turn], bool] = _any,
        keep: bool = True,
    ) -> tuple[Item, ...]:
        """Items of a request as they are stored; `after` is what was said before them.

        `response_id`: whose input they are, if they are of a response. `may_read`: which turns'
        items may be referred to, of the account's. `keep`: whether to keep their pictures.

        Raises:
            InvalidRequest: a picture is not taken, what a function gave belongs to no call, or a
                compaction is not this account's.
            NotFound: an item that is referred to is not here.
        """
        before = tuple(after)
        found = [
            await self._referred(account_id, item, before, may_read)
            if isinstance(item, InputReference)
            else item
            for item in items
        ]
        _check_calls(found, before)
        _check_number([part for item in found for part in _parts(item)])
        keeper = account_id if keep else None

        def name(prefix: Prefix, index: int) -> str:
            return input_item_id(prefix, response_id, index) if response_id else new_id(prefix)

        return tuple(
            [
                await self._item(account_id, keeper, item, partial(name, index=index))
                for index, item in enumerate(found)
            ]
        )

    async def _referred(
        self,
        account_id: str,
        reference: InputReference,
        before: Iterable[Item],
        may_read: Callable[[Turn], bool],
    ) -> Item:
        """The item that is meant, of what was said before or of any stored response."""
        items = list(before)
        with contextlib.suppress(NotFound):
            turn = await self._history.turn(account_id, response_of(reference.item_id))
            items += turn.items if may_read(turn) else ()
        for item in items:
            if item.id == reference.item_id:
                return item
        raise item_not_found(reference.item_id, reference.param)

    async def _item(
        self,
        account_id: str,
        keeper: str | None,
        item: InputItem | Item,
        name: Callable[[Prefix], str],
    ) -> Item:
        match item:
            case InputMessage(role, parts):
                content = await self._parts(keeper, parts)
                return Message(id=name("msg"), role=role, content=content)
            case InputCall():
                return FunctionCall(
                    id=name("fc"),
                    call_id=item.call_id,
                    name=item.name,
                    arguments=item.arguments,
                )
            case InputCallOutput():
                given = item.output
                output = given if isinstance(given, str) else await self._parts(keeper, given)
                return FunctionCallOutput(id=name("fco"), call_id=item.call_id, output=output)
            case InputCompaction(sealed, param):
                note = Text(self._opened(account_id, sealed, param))
                # What the model said before, in fewer words.
                return Message(id=name("msg"), role="assistant", content=(note,))
            case InputReference():
                raise AssertionError("references were looked up before")
            case Message() | FunctionCall() | FunctionCallOutput():
                return _again(item, name)
            case never:
                assert_never(never)

    def _opened(self, account_id: str, sealed: str, param: str) -> str:
        try:
            return self._seal.open(account_id, sealed)
        except BrokenSeal as error:
            message = f"Invalid '{param}': not what '/v1/responses/compact' gave to this account."
            raise InvalidRequest(message, code="invalid_value", param=param) from error

    async def _parts(
        self, keeper: str | None, parts: Sequence[InputPart]
    ) -> tuple[Text | Image, ...]:
        return tuple([await self._part(keeper, part) for part in parts])

    async def _part(self, keeper: str | None, part: InputPart) -> Text | Image:
        if not isinstance(part, InputImage):
            return Text(part.text)
        if not self._sees:
            raise unsupported(part.param, "this model takes no images")
        try:
            image = await self._images.load(part.url)
        except ImageError as error:
            raise InvalidRequest(str(error), code=error.code, param=part.param) from error
        if keeper is not None:
            await self._history.put_image(keeper, image.image_id, image.data)
        return Image(image.image_id, part.detail)


def _again(
    item: Message | FunctionCall | FunctionCallOutput, name: Callable[[Prefix], str]
) -> Item:
    """An item that was referred to, in another place."""
    match item:
        case Message():
            return replace(item, id=name("msg"))
        case FunctionCall():
            return replace(item, id=name("fc"))
        case FunctionCallOutput():
            return replace(item, id=name("fco"))
        case never:
            assert_never(never)


def _check_calls(items: Sequence[InputItem | Item], after: Iterable[Item]) -> None:
    """What a function gave comes after the call that asked for it."""
    made = {item.call_id for item in after if isinstance(item, FunctionCall)}
    for item in items:
        if isinstance(item, InputCall | FunctionCall):
            made.add(item.call_id)
        elif isinstance(item, InputCallOutput) and item.call_id not in made:
            raise InvalidRequest(
                f"No function call with call_id '{item.call_id}' was made before this output.",
                code="invalid_value",
                param=item.param,
            )


def _check_number(parts: Sequence[InputPart]) -> None:
    pictures = [part for part in parts if isinstance(part, InputImage)]
    if len(pictures) > MAX_IMAGES:
        raise InvalidRequest(
            f"The request holds {len(pictures)} pictures; expected at most {MAX_IMAGES}.",
            code="too_many_images",
            param=pictures[MAX_IMAGES].param,
        )


def _parts(item: InputItem | Item) -> Sequence[InputPart]:
    match item:
        case InputMessage(parts=parts):
            return parts
        case InputCallOutput(output=tuple() as parts):
            return parts
        case _:
            return ()
