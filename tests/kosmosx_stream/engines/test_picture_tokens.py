"""Pictures of models that are not Kosmos-2: what stands for one, and what it costs."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

from kosmosx_stream.engines import picture_tokens
from kosmosx_stream.engines.checkpoint import Checkpoint, decode
from kosmosx_stream.engines.port import EngineRefused
from tests.kosmosx_stream.engines.conformance import picture

CONFIG = {"vocab_size": 100, "max_position_embeddings": 64, "eos_token_id": 1}


def checkpoint(folder: Path, **more: int) -> Checkpoint:
    (folder / "config.json").write_text(json.dumps(CONFIG | more))
    return Checkpoint.read(folder)


@pytest.mark.parametrize(
    ("named", "placeholder"),
    [
        ({"image_token_id": 9}, (9,)),
        ({"image_token_index": 8}, (8,)),
        ({"boi_token_index": 7, "image_token_index": 8}, (7,)),  # Gemma 3
        ({}, None),
    ],
)
def test_the_configuration_names_the_placeholder(tmp_path, named, placeholder):
    found = checkpoint(tmp_path, **named)
    assert (found.placeholder, found.image_tokens, found.never) == (placeholder, 0, None)


@pytest.mark.parametrize(
    ("lengths", "tokens", "squared"), [((18, 18, 18, 18), 16, False), ((35, 16, 16, 35), 33, True)]
)
def test_the_lengths_of_prompts_tell_what_a_picture_adds(tmp_path, lengths, tokens, squared):
    found = checkpoint(tmp_path, image_token_id=9)
    probes = picture_tokens.probes(found)
    assert [each.prompt_ids for each in probes] == [(1, 9)] * len(lengths)
    assert len({decode(*each.images).size for each in probes}) == len(lengths)
    learnt = picture_tokens.learnt(found, lengths)
    assert (learnt.tokens, learnt.squared) == (tokens, squared)


def test_prompts_are_held_to_what_was_learnt(tmp_path):
    plain = checkpoint(tmp_path, image_token_id=9)
    shown = replace(picture_tokens.probe(plain), prompt_ids=(1, 9, 9), images=(picture(1),) * 2)
    with pytest.raises(EngineRefused, match="takes no images"):
        plain.check(shown)
    seeing = replace(plain, image_tokens=20)
    seeing.check(shown)
    assert (seeing.count(shown.prompt_ids, 2), seeing.never) == (43, 9)
    with pytest.raises(EngineRefused, match="2 placeholders for 1 images"):
        seeing.check(replace(shown, images=(picture(1),)))


def test_a_squared_picture_keeps_its_shape():
    wide = Image.new("RGB", (300, 100), "red")
    squared = picture_tokens.square(wide)
    assert squared.size == (picture_tokens.SIDE, picture_tokens.SIDE)
    middle, edge = squared.getpixel((10, 224)), squared.getpixel((224, 100))
    assert (middle, edge) == ((255, 0, 0), (0, 0, 0))
