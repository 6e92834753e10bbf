"""The bundled model: its dialogues, and what it answers."""

import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from transformers import AutoTokenizer, Kosmos2ForConditionalGeneration

from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.nano.answers import Moment, listing
from kosmosx_stream.kosmosx.nano.batches import Dialogues, collate
from kosmosx_stream.kosmosx.nano.chat import Nano
from kosmosx_stream.kosmosx.nano.dialogues import Writer, answer_ids, plain
from kosmosx_stream.kosmosx.nano.export import LATENTS
from kosmosx_stream.kosmosx.nano.relations import ask
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.smalltalk import recall
from kosmosx_stream.kosmosx.nano.tokenizer import BOS, EOS, GRID, WINDOW, Codec, build_tokenizer

WORDS = ["Question", "Answer", "What", "is", "There", "a", "and", "red", "circle", "star"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(build_tokenizer(WORDS))


@pytest.fixture(scope="module")
def nano() -> Nano:
    torch.set_num_threads(1)
    return Nano()


@pytest.mark.parametrize("seed", range(30))
def test_a_grounded_answer_reads_like_the_plain_one(seed, codec):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, 1 + seed % 6)
    answer = ask(Moment(scene, rng, grounded=True), None).answer
    tagged = answer_ids(answer, codec, grounded=True)
    first_tag = codec.tags["</doc>"]
    assert tuple(i for i in tagged if i < first_tag) == codec.encode(plain(answer))
    assert codec.tokenizer.decode(tagged, skip_special_tokens=True) == plain(answer)


def test_boxes_are_kosmos_2_cells(codec):
    scene = sample_scene(np.random.default_rng(5), 2)
    ids = answer_ids(listing(scene.shapes), codec, grounded=True)
    cells = [i - codec.first_patch for i in ids if i >= codec.first_patch]
    assert cells == [cell for shape in scene.shapes for cell in shape.cells]
    for shape in scene.shapes:
        left, top, _, _ = shape.box
        assert shape.cells[0] == int(top * 32) * 32 + int(left * 32)


def test_segments_encode_like_the_joined_text(codec):
    parts = ("Question:", "My name is Ætla, ok?", "Answer:")
    joined = [i for part in parts for i in codec.encode(part)]
    assert joined == list(codec.encode(" ".join(parts)))


def test_user_text_cannot_spell_control_tokens(codec):
    for text in ("<grounding>", "</s>", "<pad>", "<patch_index_0001>", "<0x41>"):
        ids = codec.encode(text)
        assert len(ids) > 3
        assert codec.tokenizer.decode(ids) == text


def test_unknown_scripts_survive(codec):
    assert codec.tokenizer.decode(codec.encode("王 Ωμ 🙂")) == "王 Ωμ 🙂"


def test_dialogues_learn_answers_and_stay_in_range(codec):
    rng = np.random.default_rng(0)
    dialogue = Writer(codec, rng, LATENTS).write(300)
    assert dialogue.ids[0] == BOS
    assert sum(i == EOS for i in dialogue.ids) == len(dialogue.turns)
    assert not any(dialogue.learn[start] for start in dialogue.turns)
    batch = collate([dialogue], rng)
    assert int(batch.positions.max()) < WINDOW
    assert bool((batch.positions.diff() >= 1).all())
    assert int(batch.image_mask.sum()) == LATENTS * len(batch.images)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_corners_lie_in_the_cells_that_location_tokens_name(seed, codec):
    batch = next(iter(Dialogues(codec, seed, 2000, ((300, 1.0),))))
    cells = batch.ids[batch.ids >= codec.first_patch] - codec.first_patch
    columns, rows = (batch.corners * GRID).floor().long().unbind(1)
    assert len(cells) > 10
    assert torch.equal(rows * GRID + columns, cells)


def test_a_patient_dialogue_asks_for_what_it_was_told_only_at_its_end(codec):
    writer = Writer(codec, np.random.default_rng(1), LATENTS)
    dialogue = next(d for d in iter(lambda: writer.write(700), None) if d.patient)
    said = dialogue.texts[1::2]
    recalled = [recall(what, value, writer.rng).answer for what, value in dialogue.facts.items()]
    assert 1 <= len(recalled) <= 3
    assert sorted(said[-len(recalled) :]) == sorted(recalled)
    assert not set(said[: -len(recalled)]) & set(recalled)


def test_the_checkpoint_is_small_and_complete():
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 16_000_000
    for name in ("README.md", "LICENSE", "config.json", "preprocessor_config.json"):
        assert (CHECKPOINT / name).exists(), name
    assert "<grounding>" in AutoTokenizer.from_pretrained(CHECKPOINT).get_vocab()


def test_padding_is_stored_as_transformers_takes_it():
    stored = load_file(CHECKPOINT / "model.safetensors")["text_model.model.embed_tokens.weight"]
    loaded = Kosmos2ForConditionalGeneration.from_pretrained(CHECKPOINT).get_input_embeddings()
    assert torch.equal(stored, loaded.weight)


def test_the_checkpoint_describes_a_drawing(nano):
    picture = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 40, 120, 130), fill="red")
    pen.rectangle((180, 170, 270, 260), fill="blue")
    chat = nano.chat()
    chat.ask("My name is Ottilie.")
    answer = chat.ask("What do you see?", picture, grounded=True)
    assert answer.count("<object>") == 2
    assert re.sub("<[^>]*>", "", answer) == "There is a red circle and a blue square."
    assert chat.ask("What is my name?", grounded=True) == "Your name is Ottilie."


def test_the_checkpoint_gives_its_evidence(nano):
    picture = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 30, 110, 120), fill="red")
    pen.rectangle((105, 190, 195, 280), fill="blue")
    pen.rectangle((190, 40, 280, 130), fill="green")
    chat = nano.chat()
    chat.ask("What do you see?", picture)
    answer = chat.ask("How many squares are there?", grounded=True)
    assert re.sub("<[^>]*>", "", answer) == (
        "I see a red circle, a blue square #1 and a green square #2: two."
    )
    assert chat.ask("What colour is the circle?", grounded=True).endswith("The circle is red.")


def test_the_checkpoint_counts(nano):
    picture = Image.new("RGB", (400, 400), (235, 235, 245))
    pen = ImageDraw.Draw(picture)
    pen.polygon([(40, 150), (140, 150), (90, 60)], fill="green")
    pen.rectangle((240, 60, 340, 160), fill="blue")
    pen.ellipse((150, 230, 250, 330), fill="orange")
    answer = nano.chat().ask("How many shapes are there?", picture, grounded=True)
    assert answer.endswith("three.")
