"""How many tokens a picture adds to a prompt of a model that is not Kosmos-2.

Its processor alone knows, so pictures of several sizes are shown to the engine, which tells how
long their prompts became. Prompts are priced and fitted into the window before the engine sees
them; so where the number depends on a picture's size, every picture is shown in one size.
"""

import hashlib
import io
from collections.abc import Sequence
from uuid import uuid4

import msgspec
from PIL import Image, ImageOps

from conversation.entries import Sampling
from kosmosx_stream.engines.checkpoint import Checkpoint, decode
from kosmosx_stream.engines.port import Generate, ImageInput

SIDE = 448
"""Width and height in pixels of a picture whose size would change its price."""
_SIZES = ((SIDE, SIDE), (SIDE // 4, SIDE), (SIDE, SIDE // 4), (2 * SIDE, 2 * SIDE))


class PictureTokens(msgspec.Struct, frozen=True):
    """`tokens` are added by each picture; if `squared`, by one of `SIDE` by `SIDE` pixels."""

    tokens: int
    squared: bool


def probe(checkpoint: Checkpoint, size: tuple[int, int] | None = None) -> Generate:
    """The shortest prompt; with a blank picture of this size (width, height), if it is given."""
    prompt_ids: tuple[int, ...] = (checkpoint.begin,)
    images: tuple[ImageInput, ...] = ()
    if size is not None and checkpoint.placeholder is not None:
        file = io.BytesIO()
        Image.new("RGB", size, "white").save(file, "PNG")
        images = (ImageInput(hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue()),)
        prompt_ids += checkpoint.placeholder
    return Generate(
        request_id=f"probe-{uuid4().hex}",
        prompt_ids=prompt_ids,
        images=images,
        sampling=Sampling(),
        max_tokens=1,
        cache_salt="probe",
    )


def probes(checkpoint: Checkpoint) -> list[Generate]:
    """Prompts with one picture each, of several sizes; their lengths are for `learnt`."""
    return [probe(checkpoint, size) for size in _SIZES]


def learnt(checkpoint: Checkpoint, lengths: Sequence[int]) -> PictureTokens:
    """What the lengths of the expanded `probes` tell, in tokens."""
    assert checkpoint.placeholder is not None
    tokens = lengths[0] - 1 - len(checkpoint.placeholder)
    return PictureTokens(tokens, squared=len({*lengths}) > 1)


def squared(request: Generate) -> Generate:
    """The request with its pictures as squares, in PNG."""
    return msgspec.structs.replace(request, images=tuple(map(_squared, request.images)))


def _squared(image: ImageInput) -> ImageInput:
    file = io.BytesIO()
    square(decode(image)).save(file, "PNG", compress_level=1)
    return msgspec.structs.replace(image, data=file.getvalue())


def square(picture: Image.Image) -> Image.Image:
    """The picture in the middle of a black square, as large as fits."""
    return ImageOps.pad(picture, (SIDE, SIDE))
