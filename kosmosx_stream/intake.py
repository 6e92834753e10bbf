"""From the items of a request to items as they are stored; pictures are checked and kept."""

from collections.abc import Iterable, Sequence
from typing import assert_never

from conversation.items import FunctionCall, FunctionCallOutput, Image, Item, Message, Text
from conversation.ports import History
from kosmosx_stream.ids import new_id
from kosmosx_stream.images import ImageError, ImageLoader
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import unsupported
from kosmosx_stream.protocol.inputs import (
    InputCall,
    InputCallOutput,
    InputCompaction,
    InputImage,
    InputItem,
    InputMessage,
    InputPart,
)
from kosmosx_stream.sealing import BrokenSeal, Seal

MAX_IMAGES = 4
"""Images that one request may bring."""


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
        keep: bool = True,
    ) -> tuple[Item, ...]:
        """Items of a request as they are stored; `after` is what was said before them.

        `keep`: whether to keep their pictures.

        Raises:
            InvalidRequest: a picture is not taken, what a function gave belongs to no call, or a
                compaction is not this account's.
        """
        _check_calls(items, after)
        _check_number([part for item in items for part in _parts(item)])
        keeper = account_id if keep else None
        return tuple([await self._item(account_id, keeper, item) for item in items])

    async def _item(self, account_id: str, keeper: str | None, item: InputItem) -> Item:
        match item:
            case InputMessage(role, parts):
                content = await self._parts(keeper, parts)
                return Message(id=new_id("msg"), role=role, content=content)
            case InputCall(call_id, name, arguments):
                return FunctionCall(
                    id=new_id("fc"), call_id=call_id, name=name, arguments=arguments
                )
            case InputCallOutput():
                given = item.output
                output = given if isinstance(given, str) else await self._parts(keeper, given)
                return FunctionCallOutput(id=new_id("fco"), call_id=item.call_id, output=output)
            case InputCompaction(sealed, param):
                note = Text(self._opened(account_id, sealed, param))
                # What the model said before, in fewer words.
                return Message(id=new_id("msg"), role="assistant", content=(note,))
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


def _check_calls(items: Sequence[InputItem], after: Iterable[Item]) -> None:
    """What a function gave comes after the call that asked for it."""
    made = {item.call_id for item in after if isinstance(item, FunctionCall)}
    for item in items:
        if isinstance(item, InputCall):
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


def _parts(item: InputItem) -> Sequence[InputPart]:
    match item:
        case InputMessage(parts=parts):
            return parts
        case InputCallOutput(output=tuple() as parts):
            return parts
        case _:
            return ()
